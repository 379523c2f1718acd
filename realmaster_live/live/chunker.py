"""Groups frames into the chunks that an engine takes, and makes every loss on the way visible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk, ChunkSpec, Frame
from realmaster_live.optional import require


class Chunker:
    """Frames of one camera in, chunks of `spec` out.

    A chunk holds frames that follow one another without a gap. If the source lost frames, the
    unfinished chunk is discarded, the next one has `spec.first_frames` frames, and its
    `dropped_before` states how many are missing. If a source starts over (its frame numbers go
    back, its optics or its labels change), one chunk index is skipped instead, so that this is
    visible too.

    Args:
        spec: the chunks that the engine takes.
        resize: scale pictures, labels and intrinsics to the engine's size; without it a frame of
            another size is a ConfigError.
        frame_step: what the source's frame numbers grow by from one frame to the next.
    """

    def __init__(self, spec: ChunkSpec, *, resize: bool = False, frame_step: int = 1) -> None:
        if frame_step < 1:
            raise ConfigError(f"expected frame_step of 1 or more, got {frame_step}: leave it at 1")
        self.spec = spec
        self.resize = resize
        self.frame_step = frame_step
        self.lost = 0
        """Frames that the source itself lost, so far."""
        self.discarded = 0
        """Frames that arrived but never filled a chunk, so far."""
        self._index = 0
        self._first = True
        self._pending: list[Frame] = []
        self._last: Frame | None = None
        self._missing = 0  # frames that the next chunk must report in dropped_before

    def push(self, frame: Frame) -> Chunk | None:
        """Take one frame; return the chunk that it completes, or None."""
        frame = self._fit(frame)
        last, self._last = self._last, frame
        if last is not None and frame.camera != last.camera:
            raise ConfigError(
                f"expected frames of camera {last.camera!r} only, got one of {frame.camera!r}: "
                "give run() an engine for each camera"
            )
        lost = frame.dropped_before
        if last is not None:
            skipped = (frame.frame_id - last.frame_id) // self.frame_step - 1
            lost = max(lost, skipped)
            if frame.frame_id <= last.frame_id or not _alike(frame, last):
                self._index += 1
                self._cut()
        if lost:
            self.lost += lost
            self._missing += lost
            self._cut()
        self._pending.append(frame)
        wanted = self.spec.first_frames if self._first else self.spec.frames
        if len(self._pending) < wanted:
            return None
        chunk = Chunk.of(self._pending, index=self._index, dropped_before=self._missing)
        self._pending = []
        self._missing = 0
        self._first = False
        self._index += 1
        return chunk

    def finish(self) -> None:
        """Discard and count the frames of a chunk that was not completed."""
        self._cut()

    def _cut(self) -> None:
        self.discarded += len(self._pending)
        self._missing += len(self._pending)
        self._pending = []
        self._first = True

    def _fit(self, frame: Frame) -> Frame:
        height, width = frame.image.shape[:2]
        spec = self.spec
        if (height, width) == (spec.height, spec.width):
            return frame
        if not self.resize:
            raise ConfigError(
                f"expected {spec.width}x{spec.height} frames, the only size this engine fits, got "
                f"{width}x{height}: let the source and the engine use one size, or ask for resize"
            )
        return _resized(frame, spec.width, spec.height)


def _alike(frame: Frame, last: Frame) -> bool:
    """Return whether both may be in one chunk: the same town, optics and labels."""
    towns = {None if one.source is None else one.source.town for one in (frame, last)}
    return (
        len(towns) == 1
        and frame.labels.keys() == last.labels.keys()
        and np.array_equal(
            [*frame.intrinsics.flat, *frame.distortion], [*last.intrinsics.flat, *last.distortion]
        )
    )


def _resized(frame: Frame, width: int, height: int) -> Frame:
    """Return `frame` at another size: the picture by area, labels by nearest neighbour."""
    cv2 = require("cv2", extra="live")  # only who asks for resizing needs OpenCV

    across = width / frame.image.shape[1]
    down = height / frame.image.shape[0]

    def scaled(array: Any, interpolation: int) -> Any:
        return cv2.resize(array, (width, height), interpolation=interpolation)

    labels: Mapping[str, NDArray[np.generic]] = {
        name: scaled(label, cv2.INTER_NEAREST_EXACT) for name, label in frame.labels.items()
    }
    if "flow" in labels:
        factors = np.array([across, down], np.float32)
        labels = {**labels, "flow": np.asarray(labels["flow"], np.float32) * factors}
    return replace(
        frame,
        image=scaled(frame.image, cv2.INTER_AREA),
        intrinsics=np.diag([across, down, 1.0]) @ frame.intrinsics,
        labels=labels,
    )
