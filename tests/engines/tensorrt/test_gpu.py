"""The GPU side: memory, streams and recorded graphs, held to what the host does."""

import sys

import numpy as np
import pytest

from realmaster_live.engines.program.chunk_program import ChunkProgram, Port, Ports, Sizes
from realmaster_live.engines.program.host_device import HostDevice
from realmaster_live.engines.program.rehearsal import noise_chunk
from realmaster_live.engines.tensorrt.cuda_driver import RecordedGraph, find_gpu
from realmaster_live.errors import EngineError, MissingDependency, OutOfMemory
from realmaster_live.frames.chunk import ChunkSpec

FRAMES = (4, 64, 96, 3)


def test_without_a_driver_there_is_no_gpu():
    if find_gpu() is not None:
        pytest.skip("this machine has a GPU")
    with pytest.raises(OSError, match=r"libcuda\.so\.1"):
        RecordedGraph(0, lambda: None)


def test_pycuda_is_asked_for_by_its_extra(monkeypatch):
    from realmaster_live.engines.tensorrt.cuda_memory import CudaMemory

    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(MissingDependency, match=r"pycuda\.driver.*\[tensorrt\]"):
        CudaMemory(1, FRAMES)


def program(sink, ring):
    """A program whose graphs are never run: what it copies is what counts here."""
    kept = Port(name="target_kv", shape=(2, 2, 1, 3, 6, 8), dtype="bfloat16")
    past = Port(name="past_kv", shape=(2, 2, 1, 3, "past", 8), dtype="bfloat16")
    latent = Port(name="sample", shape=(1, 4, 4, 6), dtype="float32")
    frames = Port(name="frames", shape=FRAMES, dtype="uint8")
    graphs = {
        "encode": Ports(inputs=(frames,), outputs=()),
        "denoise": Ports(inputs=(latent, past), outputs=(kept,)),
        "decode": Ports(inputs=(), outputs=(frames,)),
    }
    sizes = Sizes(
        rows=2,
        columns=3,
        latents=1,
        sink=sink,
        ring=ring,
        sigmas=(1.0, 0.0),
        rope_widths=(4, 2, 2),
        rope_theta=100.0,
    )
    return ChunkProgram(graphs, sizes)


class Bytes:
    """A host device without graphs."""

    copy, copy_rows, write = HostDevice.copy, HostDevice.copy_rows, HostDevice.write

    def __init__(self, program):
        self._program, self.memory = program, np.zeros(program.layout.bytes, np.uint8)


@pytest.fixture
def cuda():
    """A function that takes GPU memory; all of it is given back in the end."""
    pytest.importorskip("pycuda.driver", exc_type=ImportError)
    from realmaster_live.engines.tensorrt.cuda_memory import CudaMemory

    taken = []

    def take(count):
        taken.append(CudaMemory(count, FRAMES))
        return taken[-1]

    yield take
    for memory in taken:
        memory.close()
        memory.close()


@pytest.mark.gpu
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize(("sink", "ring"), [(0, 1), (1, 1), (2, 3)])
def test_the_past_is_placed_as_on_the_host(cuda, sink, ring, recorded):
    ours, theirs = program(sink, ring), program(sink, ring)
    host, memory = Bytes(ours), cuda(theirs.layout.bytes)
    offset, size = ours.layout.offset("target_kv"), ours.layout.size("target_kv")
    start, most = ours.layout.offset("past_kv"), ours.layout.size("past_kv")
    for index in range(sink + 2 * ring + 2):
        kept = np.random.default_rng(index).integers(0, 256, size, np.uint8)
        host.write("target_kv", kept)
        ours.place(host, 0)
        ours.advance()
        with memory.current():
            memory.write(memory.base + offset, kept)
            if recorded:
                graph = RecordedGraph(
                    memory.compute.handle, lambda: theirs.place(memory, memory.base)
                )
                graph.launch()
            else:
                theirs.place(memory, memory.base)
            theirs.advance()
            memory.compute.synchronize()
            got = np.empty(most, np.uint8)
            memory.read(memory.base + start, got)
            if recorded:
                graph.close()
        assert np.array_equal(got, host.memory[start : start + most]), index


@pytest.mark.gpu
def test_frames_go_out_and_come_back(cuda):
    memory = cuda(2 << 20)
    answers = []
    for index in range(4):
        chunk = noise_chunk(ChunkSpec(frames=4, height=64, width=96, fps=20.0), index)
        with memory.current():
            memory.send(chunk.frames, memory.base)
            memory.copy(memory.base + (1 << 20), memory.base, chunk.frames.nbytes)
            memory.start_receiving(memory.base + (1 << 20))
            answers.append((chunk.frames, memory.received()))
    assert all(np.array_equal(sent, back) for sent, back in answers)


@pytest.mark.gpu
def test_torch_shares_the_context(cuda):
    torch = pytest.importorskip("torch")
    ones = torch.ones(1000, device="cuda")
    memory = cuda(4000)
    with memory.current():
        memory.copy(memory.base, ones.data_ptr(), 4000)
        memory.compute.synchronize()
        got = np.empty(1000, np.float32)
        memory.read(memory.base, got)
    assert got.sum() == 1000
    assert float((ones + 1).sum()) == 2000  # torch's own context still works


@pytest.mark.gpu
def test_too_much_memory_says_how_much(cuda):
    with pytest.raises(OutOfMemory, match=r"expected 10000\.00 GB more of GPU memory, got "):
        cuda(10**13)


@pytest.mark.gpu
def test_a_driver_error_has_its_number():
    assert find_gpu() is not None
    with pytest.raises(EngineError, match="cuStreamBeginCapture, got CUDA error"):
        RecordedGraph(0, lambda: None)  # the default stream cannot be recorded
