"""How a decoded picture has to be turned, mirrored and stretched to be shown upright."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MATRIX = "DISPLAYMATRIX"  # FFmpeg's side data of a frame
TILT = 0.01  # by which a display matrix may miss a quarter turn


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """What a display matrix does to a picture: first transpose, then mirror its axes."""

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:  # (H, W, 3)
        """Return a picture as it is shown."""
        if self.transposed:
            picture = picture.swapaxes(0, 1)
        picture = picture[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return np.ascontiguousarray(picture)


UPRIGHT = Orientation()


def orientation_of(frame: Any) -> Orientation:
    """Return the orientation of an av.VideoFrame, from its display matrix.

    Raises:
        ValueError: it is turned by something else than quarter turns.
    """
    data = next((each for each in frame.side_data if each.type.name == MATRIX), None)
    if data is None:
        return UPRIGHT
    # a stored point (x, y) is shown at (a x + c y, b x + d y), ISO/IEC 14496-12
    a, b, _, c, d, _, *_ = np.frombuffer(bytes(data), np.int32, 9) / 65536
    largest = max(abs(a), abs(b), abs(c), abs(d))
    if largest == 0:
        return UPRIGHT
    if max(abs(b), abs(c)) <= TILT * largest and min(abs(a), abs(d)) > 0:
        return Orientation(flip_x=a < 0, flip_y=d < 0)
    if max(abs(a), abs(d)) <= TILT * largest and min(abs(b), abs(c)) > 0:
        return Orientation(transposed=True, flip_x=c < 0, flip_y=b < 0)
    raise ValueError(f"a display matrix [{a:g} {b:g}; {c:g} {d:g}]")


def shown_width(width: int, aspect: float) -> int:
    """Return the width at which pixels of an aspect (width / height) become square.

    Raises:
        ValueError: the aspect is none that a camera has.
    """
    if not 0.1 <= aspect <= 10:
        raise ValueError(f"pixels {aspect:g} times as wide as high")
    return max(round(width * aspect), 1)


def first_field(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:  # (H, W, 3)
    """Return an interlaced picture with its odd rows made from the even ones around them.

    The two fields of a frame are half a step apart in time.
    """
    whole = picture.copy()
    above = picture[0:-1:2].astype(np.uint16)
    below = np.concatenate((picture[2::2], picture[-2 + len(picture) % 2 :][:1]))[: len(above)]
    whole[1::2] = (above + below + 1) // 2
    return whole
