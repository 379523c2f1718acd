"""Small lights of the night: street lamps and headlights, as points or cones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.scene import Instance, Material, Mesh, Model, StaticScene

LAMP_COLOUR = (1.0, 0.78, 0.50)
HEADLIGHT_COLOUR = (1.0, 0.95, 0.85)
LAMP_REACH_M, HEADLIGHT_REACH_M = 16.0, 38.0
LAMP_HEIGHT_M = (2.5, 12.0)
LAMP_SIZE_M = 1.5


@dataclass(frozen=True, kw_only=True)
class Lamp:
    """One light. direction: unit; cone: cosine of its half angle; colour linear, relative."""

    position: NDArray[np.float64]
    direction: NDArray[np.float64]
    colour: tuple[float, float, float]
    gain: float
    cone: float
    reach: float

    def row(self) -> NDArray[np.float32]:
        """Return the lamp as the shading kernel's 12 numbers."""
        colour = np.asarray(self.colour) * self.gain
        numbers = [*self.position, *self.direction, *colour, self.cone, self.reach, 0.0]
        return np.asarray(numbers, np.float32)


def clusters(mesh: Mesh) -> list[NDArray[np.float64]]:
    """Return the middle (3,) of each connected piece of the mesh that is as small as a lamp."""
    owner = np.arange(len(mesh.positions))
    _, same = np.unique(np.round(mesh.positions, 3), axis=0, return_inverse=True)
    first = np.full(same.max(initial=-1) + 1, len(owner))
    np.minimum.at(first, same.reshape(-1), owner)
    owner = first[same.reshape(-1)]
    while True:
        low = owner[mesh.triangles].min(axis=1)
        merged = owner.copy()
        for corner in range(3):
            np.minimum.at(merged, owner[mesh.triangles[:, corner]], low)
            np.minimum.at(merged, mesh.triangles[:, corner], low)
        merged = merged[merged]
        if np.array_equal(merged, owner):
            break
        owner = merged
    found = []
    for piece in np.unique(owner):
        points = mesh.positions[owner == piece].astype(np.float64)
        if np.ptp(points, axis=0).max() <= LAMP_SIZE_M:
            found.append((points.min(axis=0) + points.max(axis=0)) / 2)
    return found


def street_lamps(scene: StaticScene) -> tuple[Lamp, ...]:
    """Return a lamp for each small glowing thing of the town that hangs as high as one."""

    def glows(material: Material) -> bool:
        return any(material.emission)

    found = []
    for mesh in scene.meshes:
        if not glows(scene.materials[mesh.material]):
            continue
        height = mesh.positions[:, 2]
        if height.min() < LAMP_HEIGHT_M[0] or height.max() > LAMP_HEIGHT_M[1]:
            continue
        for middle in clusters(mesh):
            found.append(
                Lamp(
                    position=middle - (0.0, 0.0, 0.15),
                    direction=np.array([0.0, 0.0, -1.0]),
                    colour=LAMP_COLOUR,
                    gain=7.0,
                    cone=0.15,
                    reach=LAMP_REACH_M,
                )
            )
    return tuple(found)


def headlights(instances: Iterable[Instance], models: Mapping[str, Model]) -> list[Lamp]:
    """Return one cone for each vehicle whose headlights are on."""
    found = []
    for instance in instances:
        if "head_light" not in instance.lit:
            continue
        extent = models[instance.model].extent
        pose = instance.model_to_world
        direction = pose[:3, :3] @ np.array([1.0, 0.0, -0.09])
        found.append(
            Lamp(
                position=pose[:3, :3] @ np.array([extent[0] + 0.1, 0.0, 0.75]) + pose[:3, 3],
                direction=direction / np.linalg.norm(direction),
                colour=HEADLIGHT_COLOUR,
                gain=8.0,
                cone=0.90,
                reach=HEADLIGHT_REACH_M,
            )
        )
    return found


def nearest(lamps: Iterable[Lamp], eye: NDArray[np.float64], count: int) -> list[Lamp]:
    """Return the `count` lamps nearest to the eye."""
    return sorted(lamps, key=lambda lamp: float(np.linalg.norm(lamp.position - eye)))[:count]
