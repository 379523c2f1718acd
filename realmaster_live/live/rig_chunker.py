"""Keeps the cameras of a rig in step: their frames in, chunks that cover the same ticks out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.live.chunker import Chunker


class RigChunker:
    """One chunker a camera; all of them start, cut and complete their chunks at the same ticks.

    The source gives the frames of a tick one after another. A tick that lacks a camera is dropped
    whole, and the next chunk of each camera counts it as lost.

    Args:
        chunkers: camera -> its own chunker, or the chunker of the only camera, whatever its name.
    """

    def __init__(self, chunkers: Chunker | Mapping[str, Chunker]) -> None:
        self._only = chunkers if isinstance(chunkers, Chunker) else None
        self._chunkers = {} if isinstance(chunkers, Chunker) else dict(chunkers)
        self._all = [self._only] if self._only is not None else list(self._chunkers.values())
        self._tick: dict[str, Frame] = {}
        self._incomplete = 0  # frames of ticks that lacked a camera
        self._incomplete_reported = 0  # those of them that the chunkers have counted as lost

    @property
    def lost(self) -> int:
        """Frames that the source itself lost, so far."""
        return sum(chunker.lost for chunker in self._all) - self._incomplete_reported

    @property
    def discarded(self) -> int:
        """Frames that arrived but never filled a chunk, so far."""
        return sum(chunker.discarded for chunker in self._all) + self._incomplete

    def push(self, frame: Frame) -> tuple[Chunk, ...]:
        """Take one frame; return the chunks that it completes, one a camera, or none."""
        if self._only is not None:
            chunk = self._only.push(frame)
            return () if chunk is None else (chunk,)
        if frame.camera not in self._chunkers:
            raise ConfigError(
                f"expected frames of {', '.join(self._chunkers)}, got one of {frame.camera!r}: "
                "give run() an engine for each camera"
            )
        here = self._tick
        if frame.camera in here or any(one.frame_id != frame.frame_id for one in here.values()):
            self._drop_tick()
        self._tick[frame.camera] = frame
        if len(self._tick) < len(self._chunkers):
            return ()
        tick, self._tick = self._tick, {}
        return self._complete(tick)

    def finish(self) -> None:
        """Discard and count the frames of chunks that were not completed."""
        self._drop_tick()
        for chunker in self._all:
            chunker.finish()

    def _complete(self, tick: Mapping[str, Frame]) -> tuple[Chunk, ...]:
        lost = max(frame.dropped_before for frame in tick.values())
        chunks = [
            self._chunkers[name].push(replace(frame, dropped_before=lost))
            for name, frame in tick.items()
        ]
        self._incomplete_reported = self._incomplete
        found = tuple(chunk for chunk in chunks if chunk is not None)
        if len(found) not in (0, len(chunks)):
            late = ", ".join(name for name, chunk in zip(tick, chunks, strict=True) if not chunk)
            raise ConfigError(
                f"expected cameras that change together, got other optics or labels of {late} "
                "alone: attach again to go on with them"
            )
        return found

    def _drop_tick(self) -> None:
        self._incomplete += len(self._tick)
        self._tick = {}
