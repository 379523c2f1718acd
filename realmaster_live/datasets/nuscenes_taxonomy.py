"""nuScenes' names for what is recorded: channels, categories, attributes and visibility."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations.masks import TWO_WHEELERS
from realmaster_live.datasets.categories import Categories
from realmaster_live.datasets.names import unique_names
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.objects import SceneObject

# nuScenes' cameras by the direction in which they look, degrees to the left of forward
CHANNEL_YAWS_DEG: Mapping[str, float] = {
    "CAM_FRONT": 0.0,
    "CAM_FRONT_LEFT": 55.0,
    "CAM_FRONT_RIGHT": -55.0,
    "CAM_BACK_LEFT": 110.0,
    "CAM_BACK_RIGHT": -110.0,
    "CAM_BACK": 180.0,
}
NEAR_YAW_DEG = 30.0  # about half of the angle between two neighbouring directions
LEVEL_DEG = 45.0  # cameras that look farther up or down get a channel of their own
MOVING_M_S = 0.2  # slower objects count as standing
PEDESTRIAN = CLASS_IDS["pedestrian"]
EMERGENCY: Mapping[str, str] = {
    "police": "vehicle.emergency.police",
    "ambulance": "vehicle.emergency.ambulance",
}
_NAMES = {
    "pedestrian": "human.pedestrian.adult", "car": "vehicle.car", "truck": "vehicle.truck",
    "bus": "vehicle.bus.rigid", "motorcycle": "vehicle.motorcycle", "bicycle": "vehicle.bicycle",
}  # fmt: skip  # a rider belongs to the cycle's box; nuScenes has no trains, lights and signs
NUSCENES = Categories(
    name="nuscenes",
    of_class={number: _NAMES.get(word, "") for word, number in CLASS_IDS.items()},
    ids={word: number for number, word in enumerate((*_NAMES.values(), *EMERGENCY.values()))},
)
ATTRIBUTES = (
    "vehicle.moving", "vehicle.stopped", "vehicle.parked", "cycle.with_rider",
    "cycle.without_rider", "pedestrian.moving", "pedestrian.standing",
)  # fmt: skip
# token, level, smallest visible share
VISIBILITIES = (
    ("1", "v0-40", 0.0), ("2", "v40-60", 0.4), ("3", "v60-80", 0.6), ("4", "v80-100", 0.8),
)  # fmt: skip


def channels(mounts: Mapping[str, NDArray[np.float64]]) -> dict[str, str]:
    """Return camera name -> channel, by the direction in which the camera looks.

    The camera that is closest to one of nuScenes' six directions, within 30 degrees, gets that
    channel. All others get CAM_ and their own name.

    Args:
        mounts: camera name -> (4, 4) camera to ego.
    """
    offers = sorted(
        (abs((yaw - target + 180) % 360 - 180), camera, channel)
        for camera, mount in mounts.items()
        if (yaw := _level_yaw_deg(mount)) is not None
        for channel, target in CHANNEL_YAWS_DEG.items()
    )
    named: dict[str, str] = {}
    for away, camera, channel in offers:
        if away <= NEAR_YAW_DEG and camera not in named and channel not in named.values():
            named[camera] = channel
    others = [camera for camera in mounts if camera not in named]
    taken = [(channel,) for channel in named.values()]
    own = unique_names([*((f"CAM_{camera.upper()}",) for camera in others), *taken], "")
    named |= dict(zip(others, own, strict=False))
    return {camera: named[camera] for camera in mounts}


def _level_yaw_deg(mount: NDArray[np.float64]) -> float | None:
    x, y, z = mount[:3, 2]
    if abs(np.degrees(np.arcsin(np.clip(z, -1, 1)))) > LEVEL_DEG:
        return None
    return float(np.degrees(np.arctan2(y, x)))


def category(thing: SceneObject, categories: Categories) -> str:
    """Return an object's category, or "" for none; police and ambulances have their own.

    Raises:
        RecordingError: `categories` does not cover its class.
    """
    name = categories.of(thing.class_id)
    if categories is NUSCENES and name.startswith("vehicle."):
        return next((one for word, one in EMERGENCY.items() if word in thing.type_id), name)
    return name


def attribute(thing: SceneObject, *, ridden: bool) -> str:
    """Return nuScenes' attribute of an object; `ridden` means that it has a rider."""
    moves = float(np.linalg.norm(thing.velocity)) > MOVING_M_S
    if thing.class_id in TWO_WHEELERS:
        return "cycle.with_rider" if ridden or moves else "cycle.without_rider"
    if thing.class_id == PEDESTRIAN:
        return "pedestrian.moving" if moves else "pedestrian.standing"
    if thing.fixed:
        return "vehicle.parked"
    return "vehicle.moving" if moves else "vehicle.stopped"


def visibility(share: float) -> str:
    """Return the visibility token of a visible share (0 to 1)."""
    return [token for token, _, low in VISIBILITIES if share >= low][-1]
