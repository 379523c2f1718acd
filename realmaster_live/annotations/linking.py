"""Assigns masks of the instance label to objects, by number and by geometry.

Legend: T objects, M masks, P pairs of both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations.masks import LIGHT, RIDER, TWO_WHEELERS, Masks
from realmaster_live.annotations.sight import Boxes, area
from realmaster_live.frames.objects import SceneObject

SAMPLES = 32  # pixels of a mask whose depth is sampled
MIN_INSIDE = 0.5  # share of the samples, or of the mask's box, that must lie in an object's box
MIN_INSIDE_LIGHT = 0.05  # the same for a head of a traffic light, which shares its mask
ENLARGEMENT, SLACK_M = 1.1, 0.15  # of an object's box, since mirrors and hands stick out of it
CLAIM_SLACK_M = 0.5  # slack if the numbers agree, as only a foot may be visible


def link(
    objects: tuple[SceneObject, ...],
    boxes: Boxes,
    masks: Masks,
    depth: NDArray[np.float32] | None,  # (H, W) metres
    intrinsics: NDArray[np.float64],  # (3, 3) pixels
) -> NDArray[np.int64]:
    """Return the index of each object's mask, (T,), -1 for none.

    No mask belongs to two objects, except for the heads of a traffic light on one post.

    An object's mask is the one with its class and `mask_id`, if at least half of 32 pixels spread
    over the mask lie, by their depth, in the object's box (enlarged by 10 % and 0.5 m on each
    side). The remaining masks and objects are joined by the same rule with 0.15 m, the best fit
    first. Without depth, at least half of the mask's box must lie in the object's 2D box. A
    two-wheeler without a mask of its own may take its rider's mask. For a traffic light's mask a
    twentieth is enough.
    """
    found = np.full(len(objects), -1)
    if not len(masks.values) or not objects:
        return found
    fits = _Fits(boxes, masks, depth, intrinsics)
    kinds = np.array([each.class_id for each in objects])
    claims = np.array([each.mask_id for each in objects])
    possible = (kinds[:, None] == masks.class_ids) | (
        np.isin(kinds, list(TWO_WHEELERS))[:, None] & (masks.class_ids == RIDER)
    )
    possible[:, two_wheelers_of_riders(masks) >= 0] = False
    possible &= _overlaps(boxes, masks)
    shared = masks.class_ids == LIGHT
    claimed = possible & (claims[:, None] == masks.mask_ids) & (claims != 0)[:, None]
    _assign(found, claimed, fits, shared, CLAIM_SLACK_M)
    possible[found >= 0] = False
    possible[:, found[(found >= 0) & ~shared[found]]] = False
    _assign(found, possible, fits, shared, SLACK_M)
    return found


def two_wheelers_of_riders(masks: Masks) -> NDArray[np.int64]:
    """Return, for each rider's mask, the index of the two-wheeler's with the same id; else -1."""
    place = {int(value): number for number, value in enumerate(masks.values)}
    found = np.full(len(masks.values), -1)
    for number in np.flatnonzero(masks.class_ids == RIDER):
        for kind in sorted(TWO_WHEELERS):
            found[number] = max(found[number], place.get(kind << 16 | masks.mask_ids[number], -1))
    return found


def _overlaps(boxes: Boxes, masks: Masks) -> NDArray[np.bool_]:
    """Return whether each mask's box meets each object's 2D box with a generous margin, (T, M)."""
    slack = 3 + 0.5 * np.maximum(np.diff(boxes.amodal[:, ::2]), np.diff(boxes.amodal[:, 1::2]))
    low, high = boxes.amodal[:, :2] - slack, boxes.amodal[:, 2:] + slack
    touches: NDArray[np.bool_] = (low[:, None] < masks.boxes[None, :, 2:]) & (
        high[:, None] > masks.boxes[None, :, :2]
    )
    return np.asarray(touches.all(axis=-1))


class _Fits:
    """Computes how well masks fit objects."""

    def __init__(
        self,
        boxes: Boxes,
        masks: Masks,
        depth: NDArray[np.float32] | None,
        intrinsics: NDArray[np.float64],
    ) -> None:
        self._boxes, self._masks = boxes, masks
        self._points: NDArray[np.float64] | None = None
        if depth is not None:
            rows, columns = masks.spread(SAMPLES)
            pixels = np.stack([columns + 0.5, rows + 0.5, np.ones_like(rows)], axis=-1)
            self._points = (pixels @ np.linalg.inv(intrinsics).T) * depth[rows, columns, None]

    def shares(
        self, things: NDArray[np.int64], masks: NDArray[np.int64], slack_m: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return each mask's share in its object's enlarged box, and in the exact one, (P,)."""
        boxes = self._boxes.take(things)
        if self._points is None:
            visible = self._masks.boxes[masks]
            low = np.maximum(visible[:, :2], boxes.amodal[:, :2])
            high = np.minimum(visible[:, 2:], boxes.amodal[:, 2:])
            common = area(np.concatenate([low, np.maximum(low, high)], axis=1))
            union = area(visible) + area(boxes.inside) - common
            return common / area(visible), common / union
        offset = np.abs(boxes.to_box_axes(self._points[masks]))
        enlarged = ENLARGEMENT * boxes.half + slack_m
        inside_enlarged = (offset <= enlarged[:, None]).all(axis=-1).mean(axis=1)
        return inside_enlarged, (offset <= boxes.half[:, None]).all(axis=-1).mean(axis=1)


def _assign(
    found: NDArray[np.int64],
    possible: NDArray[np.bool_],
    fits: _Fits,
    shared: NDArray[np.bool_],  # (M,)
    slack_m: float,
) -> None:
    """Join the possible pairs (T, M) that fit, best first; only shared masks are used again."""
    things, masks = np.nonzero(possible)
    if not len(things):
        return
    share, closeness = fits.shares(things, masks, slack_m)
    fit = share >= np.where(shared[masks], MIN_INSIDE_LIGHT, MIN_INSIDE)
    taken: set[int] = set()
    for pair in np.argsort(-(share + closeness), kind="stable"):
        thing, mask = int(things[pair]), int(masks[pair])
        if fit[pair] and found[thing] < 0 and mask not in taken:
            found[thing] = mask
            if not shared[mask]:
                taken.add(mask)
