"""Annotations of a picture: boxes of each thing, its occlusion and truncation.

The pixels of an annotation are those whose instance label is `class_id << 16 | mask_id`, so that a
rider and the two-wheeler below, which share an id, are two annotations with a mask each. The heads
on one post of a traffic light share a mask: each has the pixels inside its amodal box.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations.linking import companions, link
from realmaster_live.annotations.masks import LIGHT, RIDER, find_masks
from realmaster_live.annotations.sight import area, boxes_in_view, hidden_shares
from realmaster_live.frames.classes import THINGS
from realmaster_live.frames.objects import SceneObject

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels; right, bottom outside

MIN_AREA_PX = 1.0  # of a box's part in the picture; smaller ones are not annotated
DEPTH_SAMPLES = 9  # pixels of a mask without a thing whose median depth is its distance
_NO_MASK = np.zeros((1, 1), np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One thing in one picture.

    Attributes:
        thing: what it is, and its box in the world; None for a mask whose thing the simulator
            does not list, and for a rider, who sits on the thing with the same mask_id.
        class_id: CARLA's class number: of the thing, or of the mask where there is no thing.
        mask_id: low 16 bits of its instance label; 0 where no pixel is known to be its.
        amodal: the box of the whole thing as if nothing hid it, not cut at the picture's edge but
            at one picture's size beyond it; None without a thing.
        visible: the box of its mask's pixels; None where it has no pixel.
        pixels: of its mask.
        occlusion: share of its part in the picture that other things hide, 0 to 1; 0 where there
            is nothing to tell it by. A rider's is the two-wheeler's.
        truncation: share of its amodal box outside the picture, 0 to 1; 0 without a thing. A
            rider's is the two-wheeler's.
        distance_m: from the camera to the middle of its box along the optical axis; without a
            thing the median depth of its mask, NaN where no depth is known.
    """

    thing: SceneObject | None
    class_id: int
    mask_id: int
    amodal: Box | None
    visible: Box | None
    pixels: int
    occlusion: float
    truncation: float
    distance_m: float


def annotate(
    objects: tuple[SceneObject, ...],
    labels: Mapping[str, NDArray[np.generic]],  # as a frame's
    cam_to_world: NDArray[np.float64],  # (4, 4) metres
    intrinsics: NDArray[np.float64],  # (3, 3) pixels
    size: tuple[int, int],  # width, height
) -> tuple[Annotation, ...]:
    """Return the annotations of a picture: things in the order given, then masks without one.

    A thing is annotated where its box covers a pixel of the picture or more, hidden or not, or a
    mask has its number. A thing whose box contains the camera carries it: neither it nor its mask
    is annotated. `linking.link` assigns masks to things.

    occlusion = hidden / all, counted over 20 x 20 rays through the part of the amodal box in the
    picture: `all` meet the 3D box; `hidden` are those of them whose pixel is not the thing's own
    and whose depth is nearer than the box by more than 0.2 m and 0.5 %. It is 1 where an instance
    label shows no pixel of the thing, and 0 where no depth was given.
    """
    depth = cast("NDArray[np.float32] | None", labels.get("depth"))
    instance = cast("NDArray[np.int32] | None", labels.get("instance"))
    masks = find_masks(_NO_MASK if instance is None else instance)
    things = tuple(one for one in objects if one.class_id in THINGS)
    boxes = boxes_in_view(things, cam_to_world, intrinsics, size)
    claims = np.array([one.class_id << 16 | one.mask_id for one in things])
    in_front = ~np.isnan(boxes.amodal[:, 0])
    near = in_front & ((area(boxes.inside) >= MIN_AREA_PX) | np.isin(claims, masks.values))
    boxes = boxes.take(np.flatnonzero(near))
    things = tuple(thing for thing, is_near in zip(things, near, strict=True) if is_near)
    found = link(things, boxes, masks, depth, intrinsics)
    mask_ids = np.append(masks.mask_ids, 0)[found]
    hidden = np.zeros(len(things))
    if depth is not None and things:
        own = np.append(masks.values, -1)[found], np.where(found < 0, -1, RIDER << 16 | mask_ids)
        hidden = hidden_shares(boxes, np.stack(own, axis=1), depth, instance, intrinsics)
    if instance is not None:
        hidden[found < 0] = 1.0
    whole = np.maximum(area(boxes.amodal), MIN_AREA_PX)
    outside = 1.0 - np.minimum(area(boxes.inside) / whole, 1.0)
    eye = boxes.own(np.zeros((1, 1, 3)))[:, 0]
    carries = np.asarray((np.abs(eye) <= boxes.half).all(axis=1))

    distances = np.full(len(masks.values), np.nan)
    if depth is not None and len(distances):
        distances = np.median(depth[masks.spread(DEPTH_SAMPLES)], axis=1)
    annotations = []
    thing_of = np.full(len(masks.values), -1)
    for number, (thing, mask) in enumerate(zip(things, found.tolist(), strict=True)):
        visible, pixels = None, 0
        if mask >= 0:
            thing_of[mask] = number
            if masks.class_ids[mask] == thing.class_id:
                visible, pixels = masks.boxes[mask], int(masks.pixels[mask])
            if thing.class_id == LIGHT:
                visible, pixels = masks.part(mask, boxes.amodal[number])
        in_view = mask >= 0 or area(boxes.inside[number]) >= MIN_AREA_PX
        if in_view and not carries[number]:
            annotations.append(
                Annotation(
                    thing=thing,
                    class_id=thing.class_id,
                    mask_id=int(mask_ids[number]),
                    amodal=_box(boxes.amodal[number]),
                    visible=None if visible is None else _box(visible),
                    pixels=pixels,
                    occlusion=float(hidden[number]),
                    truncation=float(outside[number]),
                    distance_m=float(boxes.centre[number, 2]),
                )
            )
    for mask, lead in enumerate(companions(masks).tolist()):
        number = int(thing_of[lead if lead >= 0 else mask])
        known = number >= 0
        if known and (carries[number] or masks.class_ids[mask] == things[number].class_id):
            continue
        annotations.append(
            Annotation(
                thing=None,
                class_id=int(masks.class_ids[mask]),
                mask_id=int(masks.mask_ids[mask]),
                amodal=None,
                visible=_box(masks.boxes[mask]),
                pixels=int(masks.pixels[mask]),
                occlusion=float(hidden[number]) if known else 0.0,
                truncation=float(outside[number]) if known else 0.0,
                distance_m=float(boxes.centre[number, 2])
                if number >= 0
                else float(distances[mask]),
            )
        )
    return tuple(annotations)


def pixels_of(
    annotation: Annotation,
    instance: NDArray[np.int32],  # (H, W)
) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """Return where (left, top) the visible box of an annotation lies, and its mask within it.

    Raises:
        ValueError: it has no pixel.
    """
    if annotation.visible is None:
        raise ValueError(f"expected an annotation with pixels, got none of {annotation.mask_id}")
    left, top, right, bottom = map(int, annotation.visible)
    cut = instance[top:bottom, left:right]
    return (left, top), np.asarray(cut == annotation.class_id << 16 | annotation.mask_id)


def _box(sides: NDArray[np.float64]) -> Box:
    left, top, right, bottom = sides.tolist()
    return left, top, right, bottom
