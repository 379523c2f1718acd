"""One drive of a recording of the game: its metadata, and its frames one after the other.

A layout's module supplies pixels, labels and camera of a frame; numbers and clocks are set here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.camera import NEAR_M
from realmaster_live.frames.chunk import Frame

CAMERA = "front"
TERMS = "GTA-V footage: non-commercial use only, after Rockstar Games' terms"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Facts that a reader is given; they override what the recording itself says.

    Attributes:
        near_m: distance of the near plane of raw depth, metres. vfov_deg: vertical field of view.
        size: width and height, of layouts that store neither. size_hint: likewise, taken where it
            fits the recording, such as a size that was meant for the result.
        labels: to read; None for all that there are.
    """

    near_m: float | None = None
    vfov_deg: float | None = None
    size: tuple[int, int] | None = None
    size_hint: tuple[int, int] | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class View:
    """One frame's content; the fields are those of Frame."""

    image: NDArray[np.uint8]
    intrinsics: NDArray[np.float64]
    cam_to_world: NDArray[np.float64]
    labels: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Drive:
    """Consecutive frames of the game's camera.

    Attributes:
        name: of the drive. path: its folder or file.
        size: width and height, pixels.
        numbers: of the frames, as the recording counts them, ascending. The ids of its frames
            begin with the first and grow by one, and by more where frames are missing.
        labels: names of the labels that every frame has.
        fps: frames a second of neighbouring numbers; None where the recording has no rate.
        licence: that its makers published it under.
        files: every file that its frames are read from.
        facts: where it is from: weather and so on.
        views: yields the views of frames by their ascending indices.
    """

    name: str
    path: Path
    size: tuple[int, int]
    numbers: tuple[int, ...]
    labels: tuple[str, ...]
    fps: float | None
    licence: str = TERMS
    files: tuple[Path, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    views: Callable[[Sequence[int]], Iterator[View]]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.numbers)

    @property
    def missing_before(self) -> NDArray[np.int64]:  # (T,)
        """Return how many frames are missing before each, by their numbers.

        Every n-th frame of a recording counts as a recording of its own rate, not as one with gaps.
        """
        if len(self.numbers) < 2:
            return np.zeros(len(self.numbers), np.int64)
        steps = np.diff(self.numbers)
        return np.concatenate(([0], steps // steps.min() - 1))

    def frames(self, wanted: Sequence[int] | None = None, *, fps: float = 1.0) -> Iterator[Frame]:
        """Yield frames, all or those of ascending indices, on a clock of `fps` frames a second."""
        wanted = range(len(self)) if wanted is None else wanted
        missing = self.missing_before
        steps = np.arange(len(self)) + np.cumsum(missing)
        for index, view in zip(wanted, self.views(wanted), strict=True):
            yield Frame(
                camera=CAMERA,
                frame_id=self.numbers[0] + int(steps[index]),
                timestamp=float(steps[index]) / fps,
                captured_at=time.monotonic(),
                image=view.image,
                intrinsics=view.intrinsics,
                cam_to_world=view.cam_to_world,
                labels=view.labels,
                dropped_before=int(missing[index]),
            )


def near_plane(options: ReadOptions, path: Path) -> float:
    """Return the near plane of raw depth, metres; warn where it is the game's usual one."""
    return _usual_near_plane(path) if options.near_m is None else options.near_m


@cache
def _usual_near_plane(path: Path) -> float:
    """Warn once a recording, however often it is opened."""
    log.warning("the near plane of the depth of %s is not known: took the usual %g m", path, NEAR_M)
    return NEAR_M
