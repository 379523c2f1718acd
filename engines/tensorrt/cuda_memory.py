"""A GPU's memory and streams through pycuda, in the primary context, which torch also uses.

Everything is allocated once. Never import pycuda.autoinit: it creates a second context, in which
the first one's pointers are invalid.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import EngineError, OutOfMemory
from realmaster_live.optional import require


class CudaMemory:
    """One block of device memory, two pinned host buffers, and three streams.

    Attributes:
        base: address of the memory. extra: address of a second block; see `add`.
        compute: the stream that graphs run on; uploads and downloads have their own streams.
    """

    def __init__(self, count: int, frames: tuple[int, ...], *, index: int = 0) -> None:
        """Allocate `count` bytes on GPU `index`, and pinned host memory for uint8 frames."""
        self._cuda = require("pycuda.driver", extra="tensorrt")
        self._cuda.init()
        if index >= self._cuda.Device.count():
            raise EngineError(
                f"expected CUDA device {index}, got {self._cuda.Device.count()} devices: use "
                "another index"
            )
        self._context = self._cuda.Device(index).retain_primary_context()
        self._pieces: list[Any] = []
        with self.current():
            self.base = self.add(count)
            self._cuda.memset_d8(self.base, 0, count)
            self._sent, self._received = (
                self._cuda.pagelocked_empty(frames, np.uint8) for _ in range(2)
            )
            flags = 0  # CU_STREAM_DEFAULT: ordered with the default stream, which `write` uses
            self.compute, self._in, self._out = (self._cuda.Stream(flags) for _ in range(3))
            self._arrived, self._computed = (self.event() for _ in range(2))

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in this thread within a `with` block; may be nested."""
        self._context.push()
        try:
            yield
        finally:
            self._cuda.Context.pop()

    def add(self, count: int) -> int:
        """Allocate one more block of memory and return its address; the context must be current."""
        try:
            piece = self._cuda.mem_alloc(max(count, 1))
        except self._cuda.MemoryError as error:
            free, total = self._cuda.mem_get_info()
            raise OutOfMemory(
                f"expected {count / 1e9:.2f} GB more of GPU memory, got {free / 1e9:.2f} of "
                f"{total / 1e9:.2f} GB free: build for a smaller size, or free memory there"
            ) from error
        self._pieces.append(piece)
        return int(piece)

    def event(self) -> Any:
        """Return an event with timing; the context must be current."""
        return self._cuda.Event()

    def write(self, address: int, values: NDArray[Any]) -> None:
        """Copy an array to the device; blocks until it is copied."""
        if values.nbytes:
            self._cuda.memcpy_htod(address, np.ascontiguousarray(values))

    def read(self, address: int, values: NDArray[Any]) -> None:
        """Fill an array from the device; blocks until it is filled."""
        self._cuda.memcpy_dtoh(values, address)

    def clear(self, address: int, count: int) -> None:
        """Zero some bytes, ordered on the compute stream."""
        self._cuda.memset_d8_async(address, 0, count, self.compute)

    def send(self, frames: NDArray[np.uint8], address: int) -> None:
        """Upload frames asynchronously; the compute stream waits for them, the caller does not."""
        self._sent[...] = frames
        self._cuda.memcpy_htod_async(address, self._sent, self._in)
        self._arrived.record(self._in)
        self.compute.wait_for_event(self._arrived)

    def start_receiving(self, address: int) -> None:
        """Start to download frames, after all work that was enqueued on the compute stream."""
        self._computed.record(self.compute)
        self._out.wait_for_event(self._computed)
        self._cuda.memcpy_dtoh_async(self._received, address, self._out)

    def received(self) -> NDArray[np.uint8]:
        """Wait for the download and return a copy of the frames that the caller owns."""
        self._out.synchronize()
        return np.array(self._received)

    def copy(self, target: int, source: int, count: int) -> None:
        """Copy bytes that do not overlap, ordered on the compute stream."""
        self._cuda.memcpy_dtod_async(target, source, count, self.compute)

    def copy_rows(self, target: int, source: int, pitch: int, width: int, rows: int) -> None:
        """Copy packed rows of `width` bytes to rows that begin `pitch` bytes apart."""
        rectangle = self._cuda.Memcpy2D()
        rectangle.set_src_device(source)
        rectangle.set_dst_device(target)
        rectangle.src_pitch = rectangle.width_in_bytes = width
        rectangle.dst_pitch, rectangle.height = pitch, rows
        rectangle(self.compute)

    def close(self) -> None:
        """Wait for the device and free the memory; may be called twice."""
        if not self._pieces:
            return
        with self.current():
            self._cuda.Context.synchronize()
            for piece in self._pieces:
                piece.free()
        self._pieces = []
        self._sent = self._received = None
