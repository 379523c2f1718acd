"""Keeps the cameras of a rig in step: their frames in, chunks that cover the same ticks out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.live.chunker import Chunker


class RigChunker:
    """One chunker a camera; all of them start, cut and complete their chunks at the same ticks.

    A moment is the frames of all cameras at one tick. The source gives them one after another; a
    moment that lacks a camera is thrown away whole, and each camera's next chunk counts it.

    Args:
        chunkers: camera -> its own chunker, or the chunker of the only camera, whatever its name.
    """

    def __init__(self, chunkers: Chunker | Mapping[str, Chunker]) -> None:
        self._only = chunkers if isinstance(chunkers, Chunker) else None
        self._chunkers = {} if isinstance(chunkers, Chunker) else dict(chunkers)
        self._all = [self._only] if self._only is not None else list(self._chunkers.values())
        self._moment: dict[str, Frame] = {}
        self._orphans = 0  # frames of moments that lacked a camera
        self._orphans_told = 0  # those of them that the chunkers took for lost

    @property
    def lost(self) -> int:
        """Frames that the source itself lost, so far."""
        return sum(chunker.lost for chunker in self._all) - self._orphans_told

    @property
    def discarded(self) -> int:
        """Frames that arrived but never filled a chunk, so far."""
        return sum(chunker.discarded for chunker in self._all) + self._orphans

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
        here = self._moment
        if frame.camera in here or any(one.frame_id != frame.frame_id for one in here.values()):
            self._drop_moment()
        self._moment[frame.camera] = frame
        if len(self._moment) < len(self._chunkers):
            return ()
        moment, self._moment = self._moment, {}
        return self._complete(moment)

    def finish(self) -> None:
        """Throw away and count the frames that no chunk was completed for."""
        self._drop_moment()
        for chunker in self._all:
            chunker.finish()

    def _complete(self, moment: Mapping[str, Frame]) -> tuple[Chunk, ...]:
        lost = max(frame.dropped_before for frame in moment.values())
        chunks = [
            self._chunkers[name].push(replace(frame, dropped_before=lost))
            for name, frame in moment.items()
        ]
        self._orphans_told = self._orphans
        found = tuple(chunk for chunk in chunks if chunk is not None)
        if len(found) not in (0, len(chunks)):
            late = ", ".join(name for name, chunk in zip(moment, chunks, strict=True) if not chunk)
            raise ConfigError(
                f"expected cameras that change together, got other optics or labels of {late} "
                "alone: attach again to go on with them"
            )
        return found

    def _drop_moment(self) -> None:
        self._orphans += len(self._moment)
        self._moment = {}
