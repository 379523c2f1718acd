"""Restores a lost object from the render, in the realized picture's colours.

Legend: H height, W width, N pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

GROWN_PX = 1  # around a mask: half of a border pixel is the thing's
FEATHER_PX = 0.8  # standard deviation of the seam
AROUND_PX = 24  # surroundings whose colours are matched
FEWEST_PX = 64  # of them
LEAST_SPREAD, MOST_SPREAD = 0.8, 1.1


def blend(
    rendered: NDArray[np.uint8],  # (H, W, 3)
    realized: NDArray[np.uint8],  # (H, W, 3)
    mask: NDArray[np.bool_],  # (H, W), of one thing
    spoilt: NDArray[np.bool_],  # (H, W), of all things that are not to be trusted
) -> NDArray[np.uint8]:
    """Return the realized picture with one object of the render blended in.

    The thing's mean and spread in L*a*b* change as those of its surroundings did from the render
    to the realized picture: Reinhard et al., "Color Transfer between Images" (2001), eq. 10-11,
    with CIE L*a*b* in place of their l-alpha-beta, and statistics of the surroundings.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return realized
    margin = GROWN_PX + AROUND_PX
    part = (
        slice(max(int(rows.min()) - margin, 0), int(rows.max()) + margin + 1),
        slice(max(int(columns.min()) - margin, 0), int(columns.max()) + margin + 1),
    )
    inner = mask[part].view(np.uint8)
    grown = cv2.dilate(inner, np.ones((2 * GROWN_PX + 1,) * 2, np.uint8))
    around = cv2.dilate(inner, np.ones((2 * margin + 1,) * 2, np.uint8)) > 0
    around &= (grown == 0) & ~spoilt[part]
    drawn, found = (_to_lab(picture[part]) for picture in (rendered, realized))
    if around.sum() >= FEWEST_PX:
        drawn = transfer(drawn, drawn[around], found[around])
    share = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), FEATHER_PX)[..., None]
    answer = realized.copy()
    answer[part] = np.where(share > 0, _to_rgb(share * drawn + (1 - share) * found), realized[part])
    return answer


def transfer(
    picture: NDArray[np.float32],  # (H, W, 3) L*a*b*
    source: NDArray[np.float32],  # (N, 3)
    target: NDArray[np.float32],  # (N, 3)
) -> NDArray[np.float32]:  # (H, W, 3)
    """Return a picture with the mean and spread of its colours mapped from source to target."""
    spread = (target.std(0) + 1) / (source.std(0) + 1)
    spread = np.clip(spread, LEAST_SPREAD, MOST_SPREAD)
    return np.asarray((picture - source.mean(0)) * spread + target.mean(0), np.float32)


def _to_lab(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _to_rgb(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    rgb = cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.asarray(np.clip(rgb * 255 + 0.5, 0, 255), np.uint8)
