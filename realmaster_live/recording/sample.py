"""One frame of a recording with everything that was recorded of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import Annotation
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.trust import FrameTrust


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One recorded frame.

    Attributes:
        frame: what the simulator gave; `frame.image` is its own picture, `frame.labels` those that
            were asked for, `frame.objects` the things that are in view.
        real: (H, W, 3) uint8 sRGB, the realized picture; None where none was recorded or asked for.
        annotations: of the things in view, by the recorder.
        trust: how far the realized picture keeps to the labels; None where no gate judged it.
        chunk_index: which chunk it was realized in. chunk_start: whether it is that chunk's first.
        prompt: what the engine showed. seed: of the chunk's noise.
    """

    frame: Frame
    real: NDArray[np.uint8] | None
    annotations: tuple[Annotation, ...]
    trust: FrameTrust | None
    chunk_index: int
    chunk_start: bool
    prompt: str | None
    seed: int | None
