"""Frames in shared memory, for any program on this machine: one ring of slots for each camera.

The layout, little-endian, is that of `HEADER` and `SLOT` below; docs/ways-out.md has it with a
reader. The writer waits for nobody. `sequence` of a slot is odd while it is written, and two
higher afterwards: who reads it before and after copying the pixels, and finds the same even number
twice, has a whole frame.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.sinks.urls import SinkUrl

MAGIC = b"RMFRAMES"
VERSION = 1
SLOTS = 8
NAME = re.compile(r"[\w.-]{1,100}")
HEADER = np.dtype(
    {
        "names": ["magic", "version", "slots", "slot_bytes", "width", "height", "pid", "written"],
        "formats": ["S8", "<u4", "<u4", "<u8", "<u4", "<u4", "<u8", "<u8"],
        "offsets": [0, 8, 12, 16, 24, 28, 32, 40],
        "itemsize": 64,
    }
)
SLOT = np.dtype(
    {
        "names": ["sequence", "frame_id", "timestamp", "captured_at", "K", "cam_to_world"],
        "formats": ["<u8", "<i8", "<f8", "<f8", ("<f8", (3, 3)), ("<f8", (4, 4))],
        "offsets": [0, 8, 16, 24, 32, 104],
        "itemsize": 256,
    }
)


def from_url(url: SinkUrl) -> SharedMemoryRing:
    """Return the sink of `shm:NAME`."""
    if not NAME.fullmatch(url.rest):
        raise url.wrong(f"the name {url.rest!r}")
    return SharedMemoryRing(url.rest)


class SharedMemoryRing:
    """A sink that writes realized frames into shared memory NAME-CAMERA, over the oldest ones.

    Args:
        name: of the memory, before the camera's.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._rings: dict[str, _Ring] = {}

    def begin(self, run: RunInfo) -> None:
        """Make the memory of every camera that the source names.

        Raises:
            ConfigError: another process has memory of that name.
        """
        for camera, info in run.source_info.cameras.items():
            self._ring(camera, (info.width, info.height))

    def write(self, chunk: Chunk) -> None:
        """Write every frame of a chunk."""
        height, width = chunk.frames.shape[1:3]
        ring = self._ring(chunk.camera, (width, height))
        for row in range(len(chunk)):
            ring.write(chunk.frame(row))

    def close(self) -> None:
        """Remove the memory; who has it open reads on."""
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()

    def _ring(self, camera: str, size: tuple[int, int]) -> _Ring:
        ring = self._rings.get(camera)
        if ring is not None and ring.size != size:  # what a source says before it knows better
            ring.close()
            ring = None
        if ring is None:
            ring = self._rings[camera] = _Ring(f"{self.name}-{camera}", size)
        return ring


class _Ring:
    """The memory of one camera."""

    def __init__(self, name: str, size: tuple[int, int]) -> None:
        self.size = size
        width, height = size
        slot_bytes = SLOT.itemsize + -(-width * height * 3 // 64) * 64
        self._memory = _create(name, HEADER.itemsize + SLOTS * slot_bytes)
        buffer = _buffer(self._memory)
        self._header = np.frombuffer(buffer, HEADER, 1)
        self._slots = []
        for number in range(SLOTS):
            offset = HEADER.itemsize + number * slot_bytes
            facts = np.frombuffer(buffer, SLOT, 1, offset)
            flat = np.frombuffer(buffer, np.uint8, width * height * 3, offset + SLOT.itemsize)
            self._slots.append((facts, flat.reshape(height, width, 3)))
        self._header[["version", "slots", "slot_bytes", "width", "height", "pid", "written"]] = (
            VERSION, SLOTS, slot_bytes, width, height, os.getpid(), 0,
        )  # fmt: skip
        self._header["magic"] = MAGIC  # last: who sees it sees the rest
        self._written = 0

    def write(self, frame: Frame) -> None:
        """Write a frame over the oldest one."""
        facts, pixels = self._slots[self._written % SLOTS]
        facts["sequence"] = 2 * self._written + 1
        facts["frame_id"], facts["timestamp"] = frame.frame_id, frame.timestamp
        facts["captured_at"] = frame.captured_at
        facts["K"], facts["cam_to_world"] = frame.intrinsics, frame.cam_to_world
        pixels[:] = frame.image
        self._written += 1
        facts["sequence"] = 2 * self._written
        self._header["written"] = self._written

    def close(self) -> None:
        """Remove the memory."""
        del self._header, self._slots  # which keep the memory open
        self._memory.close()
        with contextlib.suppress(FileNotFoundError):
            self._memory.unlink()


def _create(name: str, size: int) -> SharedMemory:
    """Return new memory; that of a process which is gone is replaced."""
    with contextlib.suppress(FileExistsError):
        return SharedMemory(name, create=True, size=size)
    old = SharedMemory(name)
    is_left_over = _is_left_over(old)
    old.close()
    if not is_left_over:
        _disown(old)
        raise ConfigError(
            f"expected no shared memory of the name {name}, got one that another program uses: end "
            "it, or choose another name"
        )
    old.unlink()
    return SharedMemory(name, create=True, size=size)


def _buffer(memory: SharedMemory) -> memoryview:
    assert memory.buf is not None  # it is open
    return memory.buf


def _is_left_over(memory: SharedMemory) -> bool:
    """Return whether memory is a ring of ours whose process is gone."""
    if memory.size < HEADER.itemsize:
        return False
    header = np.frombuffer(_buffer(memory), HEADER, 1)[0].copy()
    if header["magic"] != MAGIC:
        return False
    try:
        os.kill(int(header["pid"]), 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's
        return False
    return False


def _disown(memory: SharedMemory) -> None:
    """Have Python not remove another program's memory when this one ends."""
    if sys.platform != "win32":
        from multiprocessing import resource_tracker

        resource_tracker.unregister(f"/{memory.name.lstrip('/')}", "shared_memory")
