"""Whether people stay where the simulator's labels have them, and look as drawn there.

No network is needed: the labels say which pixels show a person. A game's stencil marks them as
NPCs, and the bridges call them pedestrians.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.training.pairs.alignment import gradient

PEOPLE = tuple(CLASS_IDS[name] for name in ("pedestrian", "rider"))
RIM_PX = 2  # around a person, where its outline is
LEAST_FACE = 0.3  # share of a face's box that shows its person: hair and what is behind are others'


def people_in(semantic: NDArray[np.uint8]) -> NDArray[np.bool_]:  # (T, H, W)
    """Return the pixels that show people."""
    return np.isin(semantic, PEOPLE)


def person_likeness(
    source: NDArray[np.uint8],  # (T, H, W, 3) RGB
    made: NDArray[np.uint8],  # (T, H, W, 3) RGB
    people: NDArray[np.bool_],  # (T, H, W)
    *,
    least_px: int,
) -> float | None:
    """Return the mean correlation of gradients on people; 1 is the same, about 0 somebody else.

    Frames in which people have fewer than `least_px` pixels do not count; None where none does.
    """
    found = [
        _correlation(gradient(before), gradient(after), _with_rim(mask))
        for before, after, mask in zip(source, made, people, strict=True)
        if mask.sum() >= least_px
    ]
    return float(np.mean(found)) if found else None


def faces_of_people(
    boxes: NDArray[np.float32],  # (N, 4) left, top, width, height
    people: NDArray[np.bool_],  # (H, W)
) -> NDArray[np.bool_]:  # (N,)
    """Return which faces are on labelled people; the others are on posters, or false detections."""
    return np.array([_share(people, box) >= LEAST_FACE for box in boxes], bool)


def _share(people: NDArray[np.bool_], box: NDArray[np.float32]) -> float:
    left, top, width, height = box
    rows = slice(max(0, round(float(top))), max(0, round(float(top + height))))
    columns = slice(max(0, round(float(left))), max(0, round(float(left + width))))
    part = people[rows, columns]
    return float(part.mean()) if part.size else 0.0


def _with_rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    reach = np.ones((2 * RIM_PX + 1,) * 2, np.uint8)
    wide: NDArray[np.bool_] = cv2.dilate(mask.astype(np.uint8), reach) > 0
    return wide


def _correlation(
    one: NDArray[np.float32], other: NDArray[np.float32], where: NDArray[np.bool_]
) -> float:
    x, y = (values[where] - values[where].mean() for values in (one, other))
    return float((x * y).sum() / max(float(np.sqrt((x * x).sum() * (y * y).sum())), 1e-9))
