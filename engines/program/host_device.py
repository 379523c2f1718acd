"""Runs a chunk's program on the host, with ONNX Runtime on buffers at fixed addresses as on a GPU.

It tests graphs, buffers and program without a compiler or a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.guides import Guides
from realmaster_live.engines.noise import ChunkNoise
from realmaster_live.engines.program.chunk_program import MEMORIES, ChunkProgram
from realmaster_live.engines.program.graph_weights import round_to_bfloat16
from realmaster_live.optional import require

ELEMENT_TYPES = {
    "float32": 1,
    "uint8": 2,
    "int64": 7,
    "bool": 9,
    "bfloat16": 16,
}  # ONNX's element type codes


class HostDevice:
    """Runs prepared graphs in ONNX Runtime; an address is an offset into one array of bytes."""

    def __init__(
        self, program: ChunkProgram, folder: Path, *, threads: int = 0, seed: int = 0
    ) -> None:
        """Open a folder's graphs, which must have the program's inputs and outputs.

        Weights are cast where they are used, so there is never a float32 copy of all of them.
        """
        runtime = require("onnxruntime", extra="live")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_cpu_mem_arena = False  # it would keep every weight that a pass widens
        self._program = program
        self.noise = ChunkNoise(program.latent.at(0), seed)
        self._sessions = {
            name: runtime.InferenceSession(
                str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]
            )
            for name in program.graphs
        }
        self.memory = np.zeros(program.layout.bytes, np.uint8)
        for name, values in program.constants.items():
            self.write(name, values)

    def write(self, name: str, values: NDArray[Any]) -> None:
        """Write values to the beginning of a buffer."""
        start = self._program.layout.offset(name)
        self.memory[start : start + values.nbytes] = np.frombuffer(values.tobytes(), np.uint8)

    def set_external(self, name: str, values: NDArray[Any]) -> None:
        """Set an external input of the program, converted to the input's type."""
        narrow = self._program.external[name].dtype == "bfloat16"
        self.write(name, round_to_bfloat16(values) if narrow else values)

    def read(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Return a copy of values from the beginning of a buffer."""
        start = self._program.layout.offset(name)
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        values: NDArray[Any] = self.memory[start : start + count].copy().view(dtype)
        return values.reshape(shape)

    def run(self, graph: str, past: int, addresses: Mapping[str, int]) -> None:
        """Run a graph."""
        ports, binding = self._program.graphs[graph], self._sessions[graph].io_binding()
        begin = self.memory.ctypes.data
        for side, bind in (
            (ports.inputs, binding.bind_input),
            (ports.outputs, binding.bind_output),
        ):
            for port in side:
                kind, shape = ELEMENT_TYPES[port.dtype], port.at(past)
                bind(port.name, "cpu", 0, kind, shape, begin + addresses[port.name])
        self._sessions[graph].run_with_iobinding(binding)

    def copy(self, target: int, source: int, count: int) -> None:
        """Copy bytes."""
        self.memory[target : target + count] = self.memory[source : source + count]

    def copy_rows(self, target: int, source: int, pitch: int, width: int, rows: int) -> None:
        """Copy packed rows to rows with a pitch."""
        packed = self.memory[source : source + rows * width].reshape(rows, width)
        spread = np.lib.stride_tricks.as_strided(
            self.memory[target:], (rows, width), (pitch, 1), writeable=True
        )
        spread[...] = packed


def realize_on_host(
    program: ChunkProgram,
    device: HostDevice,
    frames: NDArray[np.uint8],  # (T, H, W, 3)
    *,
    guides: Guides | None = None,
    reset: bool = False,
) -> NDArray[np.uint8]:
    """Return the frames (T, H, W, 3) that a program realizes; `reset` clears the past first."""
    if reset:
        program.reset()
        device.noise.reset()
        for name in MEMORIES:
            device.write(name, np.zeros(program.layout.size(name), np.uint8))
    if program.pending:
        program.settle(device, 0)
        program.advance()
    port = next(port for port in program.graphs["encode"].inputs if port.name == "frames")
    missing = port.at(0)[0] - len(frames)  # in a short first chunk
    whole = np.concatenate((np.repeat(frames[:1], missing, 0), frames))
    device.write("captured", whole)
    for name, values in (guides or {}).items():
        device.set_external(name, values)
    program.encode(device, 0)
    program.context(device, 0)
    return from_noise(program, device, whole.shape, device.noise.take())[missing:]


def from_noise(
    program: ChunkProgram,
    device: HostDevice,
    shape: tuple[int, ...],  # (T, H, W, 3)
    noise: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Realize the last encoded chunk from the given noise; may be repeated."""
    device.write("noise", noise)
    program.denoise(device, 0)
    program.decode(device, 0)
    realized = device.read("realized", shape, np.uint8)
    program.commit(device, 0)
    program.pending = True
    return realized
