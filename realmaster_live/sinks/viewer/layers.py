"""Labels for people to look at, over the pictures: layers of colour, and boxes with names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations.annotate import Annotation, annotate
from realmaster_live.frames.classes import PALETTE, class_name, colourize
from realmaster_live.sinks.drawing import (
    depth_colors,
    flow_colors,
    instance_colors,
    trust_colors,
)
from realmaster_live.sinks.viewer.shots import Shot

Picture = NDArray[np.uint8]  # (H, W, 3) sRGB

# name of a layer -> the label that it shows, and its colours
LAYERS: Mapping[str, tuple[str, Callable[[Any], Picture]]] = {
    "classes": ("semantic", colourize),
    "instances": ("instance", instance_colors),
    "depth": ("depth", depth_colors),
    "flow": ("flow", flow_colors),
    "trust": ("trust", trust_colors),  # a recording's: (H, W) float32 scores, NaN where unknown
}
HIDDEN = 0.95  # things of which less can be seen get no box
LIGHTS = {"red": "#ff5a52", "yellow": "#ffd24a", "green": "#4fdc7c"}


def layers_of(labels: Iterable[str]) -> list[str]:
    """Return the names of the layers that these labels give."""
    given = set(labels)
    return [name for name, (label, _) in LAYERS.items() if label in given]


def draw_layer(shot: Shot, layer: str) -> Picture | None:
    """Return a layer as a picture; None where the shot lacks its label."""
    label, colours = LAYERS[layer]
    values = shot.chunk.labels.get(label)
    return None if values is None else colours(values[shot.row])


def boxes_of(shot: Shot) -> list[dict[str, Any]]:
    """Return the boxes of all things that can be seen in a shot; see `boxes_in`."""
    width, height = shot.size
    found = annotate(
        shot.objects,
        shot.labels,
        shot.chunk.cam_to_world[shot.row],
        shot.chunk.intrinsics,
        (width, height),
    )
    return boxes_in(found, (width, height))


def boxes_in(found: Iterable[Annotation], size: tuple[int, int]) -> list[dict[str, Any]]:
    """Return the boxes of annotated things that can be seen, the farthest first, as JSON values.

    `box` is left, top, right, bottom as shares of the picture; `text` says what it is and how far
    away; `colour` is CARLA's for its class, brightened, or that of a traffic light.
    """
    width, height = size
    boxes = []
    for one in visible_in(found):
        sides = one.visible or one.amodal
        if sides is None:
            continue
        left, top, right, bottom = np.clip(sides, 0, (width, height, width, height)).tolist()
        if right - left < 1 or bottom - top < 1:
            continue
        shares = (left / width, top / height, right / width, bottom / height)
        boxes.append(
            {
                "box": [round(share, 4) for share in shares],
                "text": _text(one),
                "colour": colour_of(one),
            }
        )
    return boxes


def visible_in(found: Iterable[Annotation]) -> list[Annotation]:
    """Return the annotations of what can be seen, the farthest first."""
    seen = [one for one in found if one.visible is not None or one.occlusion <= HIDDEN]
    return sorted(seen, key=lambda one: -_distance(one))


def _distance(one: Annotation) -> float:
    return one.distance_m if math.isfinite(one.distance_m) else 0.0


def _text(one: Annotation) -> str:
    words = [class_name(one.class_id).replace("_", " ")]
    if one.thing is not None and one.thing.light:
        words.insert(0, one.thing.light)
    if math.isfinite(one.distance_m):
        words.append(f"{one.distance_m:.0f} m")
    return " ".join(words)


def colour_of(one: Annotation) -> str:
    """Return the colour of a thing's class, brightened, or of a traffic light, as CSS."""
    if one.thing is not None and one.thing.light in LIGHTS:
        return LIGHTS[one.thing.light]
    number = one.class_id if one.class_id < len(PALETTE) else 0
    bright = PALETTE[number].astype(float)
    bright = 110 + bright * (145 / max(bright.max(), 1.0))
    red, green, blue = bright.astype(int).tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"
