"""Restores a lost object from the render, in the realized picture's colours.

Legend: H height, W width, N pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

DILATION_PX = 1  # a mask grows by this, since border pixels belong to the object by half
FEATHER_PX = 0.8  # standard deviation of the seam
SURROUNDINGS_PX = 24  # width of the surroundings whose colours are matched
MIN_SURROUNDING_PIXELS = 64  # with fewer pixels, colours are not matched
MIN_SPREAD, MAX_SPREAD = 0.8, 1.1


def blend(
    rendered: NDArray[np.uint8],  # (H, W, 3)
    realized: NDArray[np.uint8],  # (H, W, 3)
    mask: NDArray[np.bool_],  # (H, W), of one object
    lost: NDArray[np.bool_],  # (H, W), of all objects that failed
) -> NDArray[np.uint8]:
    """Return the realized picture with one object of the render blended in.

    The object's mean and standard deviation in L*a*b* change like those of its surroundings from
    the render to the realized picture: Reinhard et al., "Color Transfer between Images" (2001), eq.
    10-11, with CIE L*a*b* instead of l-alpha-beta, and statistics of the surroundings.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return realized
    margin = DILATION_PX + SURROUNDINGS_PX
    part = (
        slice(max(int(rows.min()) - margin, 0), int(rows.max()) + margin + 1),
        slice(max(int(columns.min()) - margin, 0), int(columns.max()) + margin + 1),
    )
    inner = mask[part].view(np.uint8)
    dilated = cv2.dilate(inner, np.ones((2 * DILATION_PX + 1,) * 2, np.uint8))
    surroundings = cv2.dilate(inner, np.ones((2 * margin + 1,) * 2, np.uint8)) > 0
    surroundings &= (dilated == 0) & ~lost[part]
    rendered_lab, realized_lab = (_to_lab(picture[part]) for picture in (rendered, realized))
    if surroundings.sum() >= MIN_SURROUNDING_PIXELS:
        rendered_lab = transfer(
            rendered_lab, rendered_lab[surroundings], realized_lab[surroundings]
        )
    weight = cv2.GaussianBlur(dilated.astype(np.float32), (0, 0), FEATHER_PX)[..., None]
    mixture = _to_rgb(weight * rendered_lab + (1 - weight) * realized_lab)
    blended = realized.copy()
    blended[part] = np.where(weight > 0, mixture, realized[part])
    return blended


def transfer(
    picture: NDArray[np.float32],  # (H, W, 3) L*a*b*
    source: NDArray[np.float32],  # (N, 3)
    target: NDArray[np.float32],  # (N, 3)
) -> NDArray[np.float32]:  # (H, W, 3)
    """Map the mean and standard deviation of a picture's colours from source to target."""
    spread = (target.std(0) + 1) / (source.std(0) + 1)
    spread = np.clip(spread, MIN_SPREAD, MAX_SPREAD)
    return np.asarray((picture - source.mean(0)) * spread + target.mean(0), np.float32)


def _to_lab(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _to_rgb(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    rgb = cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.asarray(np.clip(rgb * 255 + 0.5, 0, 255), np.uint8)
