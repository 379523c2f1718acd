"""Points of a simulated laser scanner, sampled from recorded depth, for LIDAR_TOP of an export.

The beams are those of nuScenes' scanner (Velodyne HDL-32E: 32 beams from -30.67 to 10.67 degrees of
elevation, 1084 steps in a turn), but they start at the cameras. There are no points where no camera
looks.
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
        world: (N, 3) positions in metres. rings: (N,) indices of the scanner's beams.
        instance: (N,) instance labels of the pixels that were hit.
    """

    world: NDArray[np.float64]
    rings: NDArray[np.int64]
    instance: NDArray[np.int32]

    @classmethod
    def of_all(cls, parts: Sequence[Self]) -> Self:
        """Return the points of one or more cameras together."""
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
    """Return the points that the beams hit in a camera's depth."""
    directions, rings = beams()
    rays = directions @ cam_to_ego[:3, :3]  # into camera axes
    in_front = rays[:, 2] > 1e-3
    rays, rings = rays[in_front], rings[in_front]
    rays = rays / rays[:, 2:]
    columns, rows = np.floor((rays @ intrinsics.T)[:, :2]).astype(np.int64).T
    height, width = depth.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    columns, rows, rings = columns[inside], rows[inside], rings[inside]
    # depth is that of the pixel's centre, so a point is up to half a pixel off its beam
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
    """Return a .pcd.bin file: rows of float32 x, y, z in scanner axes, intensity (0) and ring."""
    scanner = ego_to_world @ SCANNER_TO_EGO
    rows = np.zeros((len(points.world), 5), np.float32)
    rows[:, :3] = (points.world - scanner[:3, 3]) @ scanner[:3, :3]
    rows[:, 4] = points.rings
    return rows.tobytes()


def points_on(thing: SceneObject, labels: Collection[int], points: Points) -> int:
    """Return the number of points in an object's box and on its own pixels, not on the road below.

    Args:
        thing: the object.
        labels: the instance labels of its pixels in all cameras.
        points: the points of all cameras.
    """
    world = points.world[np.isin(points.instance, list(labels))]
    pose = thing.object_to_world
    inside = abs((world - pose[:3, 3]) @ pose[:3, :3]) <= thing.size / 2 + BOX_SLACK_M
    return int(inside.all(axis=1).sum())
