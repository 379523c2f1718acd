"""What stands still in the town, as CARLA lists it: environment objects and their boxes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.plan.boxes import Box
from realmaster_live.minitown.scene import Mesh, StaticScene
from realmaster_live.minitown.transforms import Pose, Vector, matrix

Array = NDArray[np.float64]

NAMES = {3: "Building", 4: "Wall", 5: "Fence", 6: "Pole", 8: "Sign", 9: "Vegetation", 14: "Car"}
BUMPER_M = (0.3, 1.5)  # heights above the road at which things stop a vehicle; kerbs are lower


@dataclass(frozen=True, kw_only=True)
class EnvironmentObject:
    """One standing thing: its instance id, its class, its upright box in the world.

    `extent` is half the size along the box's own axes, which a turn of `yaw_deg` gives.
    `footprint` is the ground that it takes at the height of a bumper: a tree's trunk, a lamp's
    pole; None for what is all above or below.
    """

    id: int
    label: int
    centre: Vector
    extent: Vector
    yaw_deg: float
    footprint: Box | None

    @property
    def name(self) -> str:
        """A name that no other object has."""
        return f"{NAMES.get(self.label, 'Object')}_{self.id}"


def environment_objects(scene: StaticScene) -> tuple[EnvironmentObject, ...]:
    """Return what stands in a town, by id."""
    parts: dict[int, list[Mesh]] = defaultdict(list)
    for mesh in scene.meshes:
        if mesh.instance:
            parts[mesh.instance].append(mesh)
    return tuple(
        _object(number, meshes, scene.poses.get(number, np.eye(4)))
        for number, meshes in sorted(parts.items())
    )


def _object(number: int, meshes: Sequence[Mesh], pose: Array) -> EnvironmentObject:
    yaw = math.degrees(math.atan2(pose[1, 0], pose[0, 0]))
    turn = matrix(Pose(yaw=yaw))[:3, :3]
    corners = np.concatenate([mesh.positions[mesh.triangles] for mesh in meshes]) @ turn
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    x, y, z = (turn @ (low + high) / 2).tolist()
    half_x, half_y, half_z = ((high - low) / 2).tolist()
    return EnvironmentObject(
        id=number,
        label=max(meshes, key=lambda mesh: len(mesh.triangles)).semantic,
        centre=(x, y, z),
        extent=(half_x, half_y, half_z),
        yaw_deg=yaw,
        footprint=_footprint(corners, turn, yaw),
    )


def _footprint(corners: Array, turn: Array, yaw_deg: float) -> Box | None:
    """Return the ground below triangles (T, 3, 3) as far as they are at a bumper's height."""
    start = corners.reshape(-1, 3)
    way = np.roll(corners, -1, axis=1).reshape(-1, 3) - start
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = (np.array(BUMPER_M)[:, None] - start[:, 2]) / way[:, 2]
    level = np.abs(way[:, 2]) < 1e-9
    within = (start[:, 2] >= BUMPER_M[0]) & (start[:, 2] <= BUMPER_M[1])
    first = np.where(level, 0.0, np.maximum(shares.min(axis=0), 0.0))
    last = np.where(level, 1.0, np.minimum(shares.max(axis=0), 1.0))
    kept = np.where(level, within, first <= last)
    if not kept.any():
        return None
    ends = [start[kept] + share[kept, None] * way[kept] for share in (first, last)]
    places = np.concatenate(ends)[:, :2]
    low, high = places.min(axis=0), places.max(axis=0)
    x, y = (turn[:2, :2] @ (low + high) / 2).tolist()
    half_length, half_width = ((high - low) / 2).tolist()
    return Box(x, y, half_length, half_width, yaw_deg)
