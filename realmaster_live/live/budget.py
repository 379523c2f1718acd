"""What goes when the engine is late: whole ticks, and before them the chunks of spare cameras."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from realmaster_live.frames.chunk import Chunk

Waiting = tuple[float, tuple[Chunk, ...]]  # since when (host monotonic clock, s), and the chunks


class SpareCameras:
    """Leaves out the chunks of some cameras while others wait for the engine.

    The next chunk of such a camera counts the frames that were left out in `dropped_before`, so
    that its engine forgets what came before the gap.
    """

    def __init__(self, cameras: Collection[str] = ()) -> None:
        self._owed = dict.fromkeys(cameras, 0)  # frames left out since the camera's last chunk

    def kept(self, chunks: tuple[Chunk, ...], *, is_late: bool) -> tuple[Chunk, ...]:
        """Return the chunks, of all cameras at the same ticks, that are to be realized."""
        if not self._owed:
            return chunks
        found = []
        for chunk in chunks:
            missing = chunk.dropped_before + self._owed.get(chunk.camera, 0)
            is_spare = chunk.camera in self._owed
            if is_spare:
                self._owed[chunk.camera] = missing + len(chunk) if is_late else 0
            if not (is_spare and is_late):
                found.append(replace(chunk, dropped_before=missing))
        return tuple(found)


def inherit(dropped: Waiting, following: Waiting) -> Waiting:
    """Let the chunks after dropped ones say how many frames are missing before them."""
    missing = {chunk.camera: chunk.dropped_before + len(chunk) for chunk in dropped[1]}
    since, chunks = following
    return since, tuple(
        replace(chunk, dropped_before=chunk.dropped_before + missing[chunk.camera])
        for chunk in chunks
    )
