"""Pixels between a simulator's camera and an engine: BGRA of any size, RGB of the engine's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from realmaster_live.optional import require

cv2 = require("cv2", extra="live")
Pixels = NDArray[np.uint8]


def engine_frames(pictures: Sequence[Pixels], width: int, height: int) -> Pixels:
    """Return BGRA pictures, each (H, W, 4), as an engine takes them: (T, height, width, 3) RGB.

    A picture of another size is scaled: halved by area as often as it is twice too large, then
    bilinearly, which costs a fifth of scaling by area at once and looks the same.
    """
    frames = np.empty((len(pictures), height, width, 3), np.uint8)
    for picture, frame in zip(pictures, frames, strict=True):
        cv2.cvtColor(_scaled(picture, width, height), cv2.COLOR_BGRA2RGB, dst=frame)
    return frames


def camera_picture(frame: Pixels, width: int, height: int, *, out: Pixels | None = None) -> Pixels:
    """Return a realized frame, (h, w, 3) RGB, as a camera of this size has it.

    It is (height, width, 4) BGRA, opaque; `out` is the memory for it.
    """
    if frame.shape[:2] == (height, width):
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2BGRA, dst=out), np.uint8)
    return _scaled(cv2.cvtColor(frame, cv2.COLOR_RGB2BGRA), width, height, out=out)


def _scaled(picture: Pixels, width: int, height: int, *, out: Pixels | None = None) -> Pixels:
    while picture.shape[0] >= 2 * height and picture.shape[1] >= 2 * width:
        half = picture.shape[1] // 2, picture.shape[0] // 2
        last = out if half == (width, height) else None
        picture = cv2.resize(picture, half, dst=last, interpolation=cv2.INTER_AREA)
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(cv2.resize(picture, (width, height), dst=out), np.uint8)
