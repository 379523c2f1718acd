"""NVIDIA's driver through ctypes: GPU queries, and CUDA graphs captured from streams.

pycuda has no CUDA graphs, and must be compiled before it can query anything. The driver's C API is
present wherever a GPU works. Builds without a GPU also call `find_gpu`, on machines where no CUDA
package is installed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from realmaster_live.errors import EngineError

MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may go on using CUDA
NAME_BYTES = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU's properties, which are part of a build's key.

    Attributes:
        name: name of the card. sm: compute capability, such as 90 for 9.0.
        driver: version of NVIDIA's driver.
        total_bytes: size of the card's memory.
    """

    name: str
    sm: int
    driver: str
    total_bytes: int


def find_gpu(index: int = 0) -> Gpu | None:
    """Return a GPU's properties, or None if there is no driver or no such GPU."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count, device = ctypes.c_int(), ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) or index >= count.value:
        return None
    _check(cuda.cuDeviceGet(ctypes.byref(device), index), "cuDeviceGet")
    name = ctypes.create_string_buffer(NAME_BYTES)
    _check(cuda.cuDeviceGetName(name, NAME_BYTES, device), "cuDeviceGetName")
    total = ctypes.c_size_t()
    _check(cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device), "cuDeviceTotalMem")
    capability = []
    for attribute in (MAJOR, MINOR):
        value = ctypes.c_int()
        code = cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        _check(code, "cuDeviceGetAttribute")
        capability.append(value.value)
    return Gpu(
        name=name.value.decode(),
        sm=10 * capability[0] + capability[1],
        driver=_driver_version(cuda),
        total_bytes=total.value,
    )


def _driver_version(cuda: Any) -> str:
    """Return the driver's version, such as 580.95.05, or without NVML CUDA's, such as 13.0."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        number = ctypes.c_int()
        _check(cuda.cuDriverGetVersion(ctypes.byref(number)), "cuDriverGetVersion")
        return f"CUDA {number.value // 1000}.{number.value % 1000 // 10}"
    text = ctypes.create_string_buffer(NAME_BYTES)
    _check(nvml.nvmlInit_v2(), "nvmlInit")
    _check(nvml.nvmlSystemGetDriverVersion(text, NAME_BYTES), "nvmlSystemGetDriverVersion")
    nvml.nvmlShutdown()
    return text.value.decode()


class RecordedGraph:
    """A CUDA graph captured from a function's work on a stream."""

    def __init__(self, stream: int, record: Callable[[], None]) -> None:
        """Call `record`, and capture its work on the stream without executing it.

        The context must be current in this thread, and `record` must not allocate memory.
        """
        self._cuda = ctypes.CDLL("libcuda.so.1")
        self._stream = ctypes.c_void_p(stream)
        graph = ctypes.c_void_p()
        self._graph = ctypes.c_void_p()
        begin = self._cuda.cuStreamBeginCapture_v2(self._stream, THREAD_LOCAL)
        _check(begin, "cuStreamBeginCapture")
        try:
            record()
        finally:
            ended = self._cuda.cuStreamEndCapture(self._stream, ctypes.byref(graph))
        _check(ended, "cuStreamEndCapture")
        made = self._cuda.cuGraphInstantiateWithFlags(
            ctypes.byref(self._graph), graph, ctypes.c_ulonglong(0)
        )
        self._cuda.cuGraphDestroy(graph)
        _check(made, "cuGraphInstantiate")

    def launch(self) -> None:
        """Enqueue the graph on its stream."""
        _check(self._cuda.cuGraphLaunch(self._graph, self._stream), "cuGraphLaunch")

    def close(self) -> None:
        """Release the graph; may be called twice."""
        if self._graph:
            self._cuda.cuGraphExecDestroy(self._graph)
            self._graph = ctypes.c_void_p()


def _check(code: int, call: str) -> None:
    """Raise EngineError for a return code other than success."""
    if code:
        raise EngineError(
            f"expected success of {call}, got CUDA error {code}: see nvidia-smi, and whether "
            "another program holds the GPU"
        )
