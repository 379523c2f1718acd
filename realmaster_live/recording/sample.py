"""One recorded frame with its labels, annotations and trust."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import Annotation
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.trust import FrameTrust


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One recorded frame.

    Attributes:
        frame: the simulator's; `frame.image` is the rendered picture, `frame.labels` the requested
            labels, `frame.objects` the objects in view.
        real: (H, W, 3) uint8 sRGB, the realized picture; None if not recorded or not requested.
        annotations: of the objects in view, made by the recorder.
        trust: how far the realized picture agrees with the labels; None if it was not judged.
        chunk_index: the chunk in which it was realized. chunk_start: whether it is its first frame.
        prompt: the engine's prompt. seed: of the chunk's noise.
    """

    frame: Frame
    real: NDArray[np.uint8] | None
    annotations: tuple[Annotation, ...]
    trust: FrameTrust | None
    chunk_index: int
    chunk_start: bool
    prompt: str | None
    seed: int | None

    def __repr__(self) -> str:
        """Show the frame, and what was recorded besides it."""
        real = "not realized or not read" if self.real is None else "realized"
        trust = "not judged" if self.trust is None else f"trust {self.trust.score:.2f}"
        return f"Sample({self.frame!r}, {real}, {len(self.annotations)} annotations, {trust})"

    @property
    def image(self) -> NDArray[np.uint8]:
        """The rendered picture, (H, W, 3) uint8 sRGB."""
        return self.frame.image

    @property
    def labels(self) -> Mapping[str, NDArray[Any]]:
        """The requested labels by name."""
        return self.frame.labels

    @property
    def frame_id(self) -> int:
        """The simulator's number of the frame."""
        return self.frame.frame_id

    @property
    def timestamp(self) -> float:
        """Simulation clock, seconds."""
        return self.frame.timestamp
