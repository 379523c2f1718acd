"""What a picture shows of each thing: its boxes, and how much of it is hidden or cut off."""

from __future__ import annotations

from dataclasses import dataclass

from realmaster_live.objects import SceneObject

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels; right, bottom outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One thing in one picture.

    Attributes:
        thing: what it is, and its box in the world; None for a mask whose thing the simulator
            does not list.
        class_id: CARLA's class number: of the thing, or of the mask where there is no thing.
        mask_id: low 16 bits of its instance label; 0 where it has no pixel.
        amodal: the box of the whole thing as if nothing hid it, not cut at the picture's edge;
            None without a thing.
        visible: the box of its mask's pixels; None where it has no pixel.
        pixels: of its mask.
        occlusion: share of its part in the picture that other things hide, 0 to 1.
        truncation: share of its amodal box outside the picture, 0 to 1.
        distance_m: from the camera to the middle of its box along the optical axis.
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
