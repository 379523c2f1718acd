"""Annotates a picture with the boxes, occlusion and truncation of each object.

The pixels of an annotation are those whose instance label is `class_id << 16 | mask_id`. So a rider
and the two-wheeler below, which share an id, are two annotations with one mask each. The heads of a
traffic light on one post share a mask, of which each has the pixels inside its amodal box.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations.linking import link, two_wheelers_of_riders
from realmaster_live.annotations.masks import LIGHT, RIDER, find_masks
from realmaster_live.annotations.sight import area, boxes_in_view, hidden_shares
from realmaster_live.frames.classes import THINGS
from realmaster_live.frames.objects import SceneObject

Box = tuple[
    float, float, float, float
]  # left, top, right, bottom in pixels, the last two exclusive

MIN_AREA_PX = 1.0  # objects whose box covers less of the picture are not annotated
DEPTH_SAMPLES = 9  # pixels whose median depth is the distance of a mask without an object
_NO_MASK = np.zeros((1, 1), np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One object in one picture.

    Attributes:
        thing: the object with its box in the world. None for a mask whose object the simulator does
            not list, and for a rider, who belongs to the two-wheeler with the same mask_id.
        class_id: CARLA's class number of the object, or of a mask without an object.
        mask_id: low 16 bits of its instance label; 0 if no pixel is known to belong to it.
        amodal: box of the whole object without occlusion, which may extend up to one picture's size
            beyond the picture's edges; None without an object.
        visible: box of the mask's pixels; None without pixels.
        pixels: number of pixels of the mask.
        occlusion: share of the object's part in the picture that other objects hide, 0 to 1; 0 if
            unknown. A rider has the two-wheeler's.
        truncation: share of the amodal box outside the picture, 0 to 1; 0 without an object. A
            rider has the two-wheeler's.
        distance_m: distance from the camera to the centre of the box along the optical axis;
            without an object the mask's median depth, or NaN without depth.
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
    labels: Mapping[str, NDArray[np.generic]],  # (H, W) each, as in a frame
    cam_to_world: NDArray[np.float64],  # (4, 4) metres
    intrinsics: NDArray[np.float64],  # (3, 3) pixels
    size: tuple[int, int],  # width, height
) -> tuple[Annotation, ...]:
    """Return the annotations of a picture: objects in the given order, then masks without one.

    An object is annotated if its box covers at least one pixel of the picture, hidden or not, or if
    a mask has its number. An object whose box contains the camera carries it; neither this object
    nor its mask is annotated. `linking.link` assigns masks to objects.

    Occlusion is estimated with 20 x 20 rays through the part of the amodal box in the picture. It
    is the share, among the rays that meet the 3D box, of those whose pixel does not belong to the
    object and whose depth is smaller than the box's by more than 0.2 m and 0.5 %. It is 1 if the
    instance label has no pixel of the object, and 0 without depth.
    """
    depth = cast("NDArray[np.float32] | None", labels.get("depth"))
    instance = cast("NDArray[np.int32] | None", labels.get("instance"))
    masks = find_masks(_NO_MASK if instance is None else instance)
    things = tuple(each for each in objects if each.class_id in THINGS)
    boxes = boxes_in_view(things, cam_to_world, intrinsics, size)
    claims = np.array([each.class_id << 16 | each.mask_id for each in things])
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
    camera_position = boxes.to_box_axes(np.zeros((1, 1, 3)))[:, 0]
    contains_camera = np.asarray((np.abs(camera_position) <= boxes.half).all(axis=1))

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
        if in_view and not contains_camera[number]:
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
    for mask, two_wheeler in enumerate(two_wheelers_of_riders(masks).tolist()):
        number = int(thing_of[two_wheeler if two_wheeler >= 0 else mask])
        known = number >= 0
        if known and (contains_camera[number] or masks.class_ids[mask] == things[number].class_id):
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
    """Return (left, top) of an annotation's visible box, and the mask (h, w) within it.

    Raises:
        ValueError: the annotation has no pixel.
    """
    if annotation.visible is None:
        raise ValueError(f"expected an annotation with pixels, got none of {annotation.mask_id}")
    left, top, right, bottom = map(int, annotation.visible)
    cut = instance[top:bottom, left:right]
    return (left, top), np.asarray(cut == annotation.class_id << 16 | annotation.mask_id)


def _box(sides: NDArray[np.float64]) -> Box:
    left, top, right, bottom = sides.tolist()
    return left, top, right, bottom
