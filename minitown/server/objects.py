"""Environment objects: what CARLA lists of the town besides actors, with their boxes."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from realmaster_live.minitown.scene import Mesh, StaticScene
from realmaster_live.minitown.transforms import Pose, Vector, matrix

ANY = (0, 255)  # CARLA's labels that ask for everything: None and Any
NAMES = {3: "Building", 4: "Wall", 5: "Fence", 6: "Pole", 8: "Sign", 9: "Vegetation", 14: "Car"}


@dataclass(frozen=True, kw_only=True)
class EnvironmentObject:
    """One standing thing: its instance id, its class, its upright box in the world.

    `extent` is half the size along the box's own axes, which a turn of `yaw_deg` gives.
    """

    id: int
    label: int
    centre: Vector
    extent: Vector
    yaw_deg: float

    @property
    def name(self) -> str:
        """A name that no other object has."""
        return f"{NAMES.get(self.label, 'Object')}_{self.id}"


def environment_objects(scene: StaticScene | None, label: int) -> list[EnvironmentObject]:
    """Return what stands in a town, one class or all; nothing when the town is not drawn."""
    parts: dict[int, list[Mesh]] = defaultdict(list)
    for mesh in scene.meshes if scene is not None else ():
        if mesh.instance:
            parts[mesh.instance].append(mesh)
    found = []
    for number, meshes in sorted(parts.items()):
        largest = max(meshes, key=lambda mesh: len(mesh.triangles)).semantic
        if label not in ANY and label != largest:
            continue
        pose = scene.poses.get(number, np.eye(4)) if scene is not None else np.eye(4)
        yaw = math.degrees(math.atan2(pose[1, 0], pose[0, 0]))
        turn = matrix(Pose(yaw=yaw))[:3, :3]
        points = np.concatenate([mesh.positions for mesh in meshes]) @ turn
        low, high = points.min(axis=0), points.max(axis=0)
        centre, half = (turn @ (low + high) / 2).tolist(), ((high - low) / 2).tolist()
        found.append(
            EnvironmentObject(
                id=number, label=largest, centre=tuple(centre), extent=tuple(half), yaw_deg=yaw
            )
        )
    return found
