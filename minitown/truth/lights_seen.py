"""Which traffic lights a camera sees: where their lamps are in the picture, and what they show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster.rasteriser import window_of
from realmaster_live.minitown.scene import (
    CameraView,
    Floats,
    Instance,
    Model,
    SceneState,
)
from realmaster_live.minitown.traffic.signals import LAMPS

NEAREST_M, FARTHEST_M = 1.0, 80.0
DEPTH_SLACK_M = 0.06  # a lens is a flat disc in front of its body; its hood is farther off
READABLE_PX, READABLE_SHARE = (
    3.0,
    0.5,
)  # least size and visible share of a lit lamp whose colour can be read
LENS_CORNERS = 13  # a lens is a fan: its middle and twelve points of its rim


def lights_seen(
    models: Mapping[str, Model], state: SceneState, view: CameraView, depth: Floats
) -> list[dict[str, Any]]:
    """Return the light heads whose lit lamp is at least partly in the picture.

    `depth` (H, W) is the rendered view's, metres. Each head has its `state` (red, yellow, green),
    `distance_m`, `visible` (the share of the lit lamp that is not hidden or cut off), and `lamps`:
    for each colour the box [left, top, right, bottom] of its lens, in pixels.
    """
    seen = []
    for instance in state.instances:
        shown = [name for name in LAMPS.values() if name in instance.lit]
        if not shown:
            continue
        for head, lenses in enumerate(heads(models[instance.model], instance, view)):
            rim, distance = lenses[shown[0]]
            share = visible_share(rim, distance, depth)
            if share > 0:
                seen.append(
                    {
                        "light": instance.actor_id,
                        "head": head,
                        "state": shown[0].removeprefix("lamp_"),
                        "distance_m": round(distance, 1),
                        "visible": round(share, 2),
                        "lamps": {
                            name.removeprefix("lamp_"): [
                                round(float(x), 2) for x in (*corners.min(0), *corners.max(0))
                            ]
                            for name, (corners, _) in lenses.items()
                        },
                    }
                )
    return seen


def lamp_size(light: Mapping[str, Any]) -> float:
    """Return the lesser side of a light's lit lamp, in pixels."""
    left, top, right, bottom = light["lamps"][light["state"]]
    return float(min(right - left, bottom - top))


def is_readable(light: Mapping[str, Any]) -> bool:
    """Return whether a light of `lights_seen` shows enough pixels to tell its colour."""
    return lamp_size(light) >= READABLE_PX and bool(light["visible"] >= READABLE_SHARE)


def heads(
    model: Model, instance: Instance, view: CameraView
) -> Iterator[dict[str, tuple[NDArray[np.float64], float]]]:
    """Yield, for each head that faces the camera, every lens's rim (12, 2) in pixels and depth."""
    window = window_of(view)
    rows = window.view.astype(np.float64)
    to_world = instance.model_to_world
    lenses = {}
    for mesh in model.meshes:
        if mesh.part in LAMPS.values():
            points = mesh.positions.astype(np.float64) @ to_world[:3, :3].T + to_world[:3, 3]
            lenses[mesh.part] = (points @ rows[:, :3].T + rows[:, 3]).reshape(-1, LENS_CORNERS, 3)
    face = rows[:, :3] @ to_world[:3, 0]  # right, up, forward
    for head in range(min(map(len, lenses.values()), default=0)):
        corners = {name: fans[head] for name, fans in lenses.items()}
        middle = np.mean([fan[0] for fan in corners.values()], axis=0)
        if not NEAREST_M < middle[2] < FARTHEST_M or face @ middle >= 0:
            continue
        yield {
            name: (
                np.stack(
                    [
                        window.cx + window.focal * fan[1:, 0] / fan[1:, 2],
                        window.cy - window.focal * fan[1:, 1] / fan[1:, 2],
                    ],
                    axis=1,
                ),
                float(fan[0, 2]),
            )
            for name, fan in corners.items()
        }


def visible_share(rim: NDArray[np.float64], distance: float, depth: Floats) -> float:
    """Return the share of a lens that the picture shows; 0 where it has no pixel of its own."""
    height, width = depth.shape
    middle, half = (rim.min(0) + rim.max(0)) / 2, np.ptp(rim, axis=0) / 2
    across = (np.arange(width) + 0.5 - middle[0]) / half[0]
    down = (np.arange(height) + 0.5 - middle[1]) / half[1]
    disc = across**2 + down[:, None] ** 2 <= 1.0
    if not disc.any():
        return 0.0
    in_picture = ((rim >= 0) & (rim < (width, height))).all(axis=1).mean()
    return float(in_picture * (np.abs(depth[disc] - distance) < DEPTH_SLACK_M).mean())
