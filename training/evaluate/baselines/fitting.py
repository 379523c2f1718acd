"""Fits pieces to what networks take: sizes on a grid, 4 k + 1 frames; and films back to pieces.

Legend: T frames, H W pixels.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError

Frames = NDArray[np.uint8]  # (T, H, W, 3)


def spans(count: int, window: int) -> list[range]:
    """Return the pieces of a film: as few as there may be, and all about as long."""
    pieces = max(1, math.ceil(count / window))
    ends = [round(count * (index + 1) / pieces) for index in range(pieces)]
    return [range(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]


def fitted_size(size: tuple[int, int], pixels: int, grid: int) -> tuple[int, int]:
    """Return width and height of about `pixels`, in the proportions of `size`, on a grid."""
    width, height = size
    scale = math.sqrt(pixels / (width * height))
    return (
        max(grid, round(width * scale / grid) * grid),
        max(grid, round(height * scale / grid) * grid),
    )


def resized(frames: Frames, size: tuple[int, int]) -> Frames:
    """Return frames of another width and height: means of areas, or cubic where they grow."""
    if (frames.shape[2], frames.shape[1]) == size:
        return frames
    smaller = size[0] * size[1] < frames.shape[2] * frames.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.stack([np.asarray(cv2.resize(each, size, interpolation=how)) for each in frames])


def lengthened(frames: Frames, count: int) -> Frames:
    """Return at least `count` frames: the last one is repeated."""
    missing = max(0, count - len(frames))
    return np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)]) if missing else frames


def four_k_plus_one(count: int) -> int:
    """Return the least number 4 k + 1 that is not below a number of frames."""
    return -(-(count - 1) // 4) * 4 + 1


def at_times(
    count: int,
    fps: float,
    times: NDArray[np.float64],  # (T,) seconds, of the frames that there are
) -> list[int]:
    """Return for each of `count` frames at `fps` which frame of another film is shown then.

    Raises:
        PairError: the other film is shorter by more than one of its frames.
    """
    shown = times - times[0]
    step = float(np.median(np.diff(shown))) if len(shown) > 1 else 1 / fps
    wanted = np.arange(count) / fps
    if wanted[-1] - shown[-1] > max(step, 1 / fps) * 1.5:
        raise PairError(
            f"expected a film of {count / fps:.2f} s, got one of {shown[-1] + step:.2f} s: it does "
            "not show the whole piece"
        )
    # a frame is shown from its time on; a hundredth of a frame allows for rounded stamps
    found = np.searchsorted(shown, wanted + step / 100, side="right") - 1
    return [int(index) for index in found.clip(0, len(times) - 1)]
