"""TensorRT's engine on an emulated device: its plans are graphs that ONNX Runtime runs in host
memory, at the addresses that the engine binds."""

import contextlib
import json

import numpy as np
import pytest
from street import make_chunk

from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.engines.program.host_device import ELEMENT_TYPES
from realmaster_live.engines.program.prepare import prepare_graphs, sizes_of
from realmaster_live.engines.tensorrt import engine as module
from realmaster_live.engines.tensorrt.cuda_driver import Gpu
from realmaster_live.engines.tensorrt.engine import TrtEngine
from realmaster_live.errors import EngineError
from realmaster_live.protocols import SharingEngine

WIDTH, HEIGHT = 96, 64


class HostMemory:
    """What CudaMemory does, with numpy: everything is done at once, so streams order nothing."""

    def __init__(self, count, frames, *, index=0):
        self._block = np.zeros(count, np.uint8)
        self.base, self._frames = self._block.ctypes.data, frames
        self.compute = self

    handle = 0

    def current(self):
        return contextlib.nullcontext()

    def synchronize(self):
        pass

    def record(self, stream):
        pass

    def time_till(self, end):
        return 1.0

    def event(self):
        return self

    def add(self, count):
        return 0

    def _bytes(self, address, count):
        start = address - self.base
        return self._block[start : start + count]

    def write(self, address, values):
        self._bytes(address, values.nbytes)[...] = np.frombuffer(values.tobytes(), np.uint8)

    def clear(self, address, count):
        self._bytes(address, count)[...] = 0

    def send(self, frames, address):
        self.write(address, frames)

    def start_receiving(self, address):
        count = int(np.prod(self._frames))
        self._arrived = self._bytes(address, count).copy().reshape(self._frames)

    def received(self):
        return self._arrived

    def copy(self, target, source, count):
        self._bytes(target, count)[...] = self._bytes(source, count)

    def copy_rows(self, target, source, pitch, width, rows):
        for row in range(rows):
            self.copy(target + row * pitch, source + row * width, width)

    def close(self):
        self._block = None


class HostPlan:
    """A plan whose contexts run a prepared graph in ONNX Runtime."""

    scratch_bytes = 0
    loaded = 0
    folder = None

    def __init__(self, flavour, content, name, ports):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.session = onnxruntime.InferenceSession(self.folder / f"{name}.onnx", options)
        self.ports = ports
        self.takes_past = any("past" in port.shape for port in ports.inputs)
        HostPlan.loaded += 1

    def open(self, profile, past, scratch, stream):
        return HostContext(self, past)


class HostContext:
    def __init__(self, plan, past):
        self.plan, self.past, self.addresses = plan, past, {}

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        binding = self.plan.session.io_binding()
        for ports, bind in (
            (self.plan.ports.inputs, binding.bind_input),
            (self.plan.ports.outputs, binding.bind_output),
        ):
            for port in ports:
                kind, shape = ELEMENT_TYPES[port.dtype], port.at(self.past)
                bind(port.name, "cpu", 0, kind, shape, self.addresses[port.name])
        self.plan.session.run_with_iobinding(binding)
        return True


@pytest.fixture
def build(tiny_model, tmp_path, monkeypatch):
    """The folder of a build whose plans run on the host."""
    manifest = json.loads((tiny_model / "manifest.json").read_text())
    sizes = sizes_of(manifest, width=WIDTH, height=HEIGHT, steps=2)
    prepared = prepare_graphs(tiny_model, tmp_path, sizes, precision="fp32")
    (tmp_path / "graphs").symlink_to(tiny_model)
    record = manifest | {
        "flavour": "emulated",
        "version": "1",
        "sm": None,
        "driver": None,
        "width": WIDTH,
        "height": HEIGHT,
        "steps": 2,
        "sizes": {
            "rows": sizes.rows,
            "columns": sizes.columns,
            "latents": sizes.latents,
            "sink": sizes.sink,
            "ring": sizes.ring,
            "rope_widths": list(sizes.rope_widths),
            "rope_theta": sizes.rope_theta,
        },
        "graphs": {name: ports.as_dict() for name, ports in prepared.ports.items()},
        "plans": {name: f"{name}.onnx" for name in prepared.ports},
    }
    monkeypatch.setattr(module, "read_manifest", lambda folder: record)
    card = Gpu(name="emulated", sm=0, driver="0", total_bytes=0)
    monkeypatch.setattr(module, "find_gpu", lambda index: card)
    flavour = type("Flavour", (), {"name": "emulated", "version": "1"})
    monkeypatch.setattr(module, "find_flavour", lambda wanted, gpu: flavour)
    monkeypatch.setattr(module, "CudaMemory", HostMemory)
    monkeypatch.setattr(module, "Plan", HostPlan)
    monkeypatch.setattr(HostPlan, "folder", tmp_path)
    monkeypatch.setattr(HostPlan, "loaded", 0)
    return tmp_path


def noisy(camera, index):
    chunk = make_chunk(index)
    shape = chunk.frames.shape
    return chunk.with_frames(
        np.random.default_rng([camera, index]).integers(0, 256, shape, np.uint8)
    )


def test_siblings_share_the_plans_and_nothing_else(build, tiny_model):
    first = TrtEngine(build, graphs=False)
    first.realize(noisy(9, 0))
    assert isinstance(first, SharingEngine)
    second = first.sibling()
    assert HostPlan.loaded == 4
    first.reset()
    with OnnxEngine(tiny_model, width=WIDTH, height=HEIGHT, threads=1) as alone:
        for index in range(4):
            expected = alone.realize(noisy(0, index)).frames.astype(int)
            got = first.realize(noisy(0, index)).frames
            assert np.abs(got - expected).max() <= 1
            second.realize(noisy(1, index))
        second.set_prompt("rain")
        assert second.realize(noisy(1, 4)).prompt == "rain"
        assert first.realize(noisy(0, 4)).prompt == "as simulated"
        first.close()
        with pytest.raises(EngineError, match="got a closed one"):
            first.sibling()
        second.reset()
        alone.reset()
        alone.set_prompt("rain")
        expected = alone.realize(noisy(0, 0)).frames.astype(int)
        assert np.abs(second.realize(noisy(0, 0)).frames - expected).max() <= 1
    second.close()
