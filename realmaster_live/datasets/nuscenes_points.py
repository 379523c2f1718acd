"""Points of a laser scanner, taken from recorded depth: what LIDAR_TOP of an export holds.

The beams are those of nuScenes' own scanner (Velodyne HDL-32E: 32 beams from 30.67 degrees below
to 10.67 above level, 1084 steps a turn), but they start at the cameras: where no camera looks there
is no point.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.objects import SceneObject

Matrix = NDArray[np.float64]

ELEVATIONS = np.radians(np.linspace(-30.67, 10.67, 32))
AZIMUTHS = np.arange(1084) * (2 * np.pi / 1084)
RANGE_M = 100.0
# where nuScenes' scanner sits on the car: x to the right, y forward, z up
SCANNER_TO_EGO: Matrix = np.array(
    [[0.0, 1.0, 0.0, 0.94], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.84], [0.0, 0.0, 0.0, 1.0]]
)
BOX_SLACK_M = 0.02


@dataclass(frozen=True, kw_only=True)
class Points:
    """Points of one tick.

    Attributes:
        world: (N, 3) metres. rings: (N,) which beam of the scanner.
        instance: (N,) label of the pixel at which each was hit.
    """

    world: NDArray[np.float64]
    rings: NDArray[np.int64]
    instance: NDArray[np.int32]

    @classmethod
    def of_all(cls, parts: Sequence[Self]) -> Self:
        """Return the points of several cameras; at least one."""
        return cls(
            world=np.concatenate([part.world for part in parts]),
            rings=np.concatenate([part.rings for part in parts]),
            instance=np.concatenate([part.instance for part in parts]),
        )


@cache
def beams() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the (N, 3) unit directions of all beams in ego axes, and the (N,) ring of each."""
    rings, turns = np.meshgrid(np.arange(len(ELEVATIONS)), AZIMUTHS, indexing="ij")
    level = np.cos(ELEVATIONS[rings])
    directions = np.stack(
        [level * np.cos(turns), level * np.sin(turns), np.sin(ELEVATIONS[rings])], axis=-1
    )
    return directions.reshape(-1, 3), rings.ravel()


def scan(
    depth: NDArray[np.float32],  # (H, W) metres along the optical axis
    instance: NDArray[np.int32],  # (H, W) labels
    intrinsics: Matrix,  # (3, 3) pixels
    cam_to_ego: Matrix,  # (4, 4) metres
    cam_to_world: Matrix,  # (4, 4) metres
) -> Points:
    """Return what the beams hit from a camera."""
    directions, rings = beams()
    rays = directions @ cam_to_ego[:3, :3]  # into camera axes
    in_front = rays[:, 2] > 1e-3
    rays, rings = rays[in_front], rings[in_front]
    rays = rays / rays[:, 2:]
    columns, rows = np.floor((rays @ intrinsics.T)[:, :2]).astype(np.int64).T
    height, width = depth.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    columns, rows, rings = columns[inside], rows[inside], rings[inside]
    # a depth belongs to its pixel's centre: the beam bends there, by half a pixel at most
    centres = np.stack([columns + 0.5, rows + 0.5, np.ones_like(rows)], axis=-1)
    points = centres @ np.linalg.inv(intrinsics).T * depth[rows, columns, None]
    near = np.linalg.norm(points, axis=1) < RANGE_M
    return Points(
        world=points[near] @ cam_to_world[:3, :3].T + cam_to_world[:3, 3],
        rings=rings[near],
        instance=instance[rows, columns][near],
    )


def as_scan_file(
    points: Points,
    ego_to_world: Matrix,  # (4, 4) metres
) -> bytes:
    """Return the rows of a .pcd.bin file: x, y, z of the scanner, intensity (0), ring, float32."""
    scanner = ego_to_world @ SCANNER_TO_EGO
    rows = np.zeros((len(points.world), 5), np.float32)
    rows[:, :3] = (points.world - scanner[:3, 3]) @ scanner[:3, :3]
    rows[:, 4] = points.rings
    return rows.tobytes()


def points_on(thing: SceneObject, labels: Collection[int], points: Points) -> int:
    """Return how many points lie in a thing's box and on its own pixels: the road below does not.

    Args:
        thing: the object.
        labels: the instance labels of its pixels, in any camera.
        points: of all cameras.
    """
    world = points.world[np.isin(points.instance, list(labels))]
    pose = thing.object_to_world
    inside = abs((world - pose[:3, 3]) @ pose[:3, :3]) <= thing.size / 2 + BOX_SLACK_M
    return int(inside.all(axis=1).sum())
