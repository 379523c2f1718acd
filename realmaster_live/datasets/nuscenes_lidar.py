"""LIDAR_TOP from a recorded lidar: its own points at every tick, where it really sits."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.nuscenes_points import BOX_SLACK_M
from realmaster_live.datasets.selection import Drive
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.ego import Sweep
from realmaster_live.frames.objects import SceneObject
from realmaster_live.frames.rig_sensors import EVENTS

Matrix = NDArray[np.float64]
NO_SWEEP = "no sweep of the lidar"
BRIGHTEST = 255.0  # intensity of nuScenes' scanner
# nuScenes' scanner axes (right, forward, up) to a sensor's (forward, left, up)
FROM_SCANNER: Matrix = np.array(
    [[0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def recorded_lidar(drive: Drive) -> str:
    """Return the name of a drive's first lidar, "" where it has none."""
    for name, count in drive.recording.sensor_counts.items():
        if name in ("control", "imu", "gnss", *EVENTS) or not count:
            continue
        _, sweep = next(iter(drive.recording.sensors(name)))
        if sweep.kind == "lidar":
            return name
    return ""


def sweep_of(frame: Frame, name: str) -> Sweep | None:
    """Return a lidar's sweep at a frame; None where it is missing."""
    return None if frame.ego is None or not name else frame.ego.sweeps.get(name)


class LidarMount:
    """Where a lidar sits on its vehicle: as it was mounted, else as its first sweep says."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._measured: Matrix | None = None

    def of(self, frame: Frame, sweep: Sweep, ego: Matrix) -> Matrix:
        """Return the pose (4, 4) of nuScenes' scanner axes in the vehicle, at `ego` (4, 4)."""
        known = None if frame.source is None else frame.source.sensors.get(self._name)
        if known is not None and known.sensor_to_ego is not None:
            return np.asarray(np.array(known.sensor_to_ego) @ FROM_SCANNER)
        if self._measured is None:
            self._measured = np.linalg.inv(ego) @ sweep.sensor_to_world @ FROM_SCANNER
        return self._measured


def scan_file(sweep: Sweep) -> bytes:
    """Return a .pcd.bin file: rows of float32 x, y, z in scanner axes, intensity and ring."""
    rows = np.empty((len(sweep), 5), np.float32)
    rows[:, :3] = sweep.points @ FROM_SCANNER[:3, :3]
    rows[:, 3] = sweep.values["intensity"] * BRIGHTEST
    rows[:, 4] = sweep.values["ring"]
    return rows.tobytes()


def points_in(sweep: Sweep, thing: SceneObject, labels: Collection[int] = ()) -> int:
    """Return the number of a sweep's points in an object's box, whatever its instance labels."""
    sensor = sweep.sensor_to_world
    world = sweep.points @ sensor[:3, :3].T + sensor[:3, 3]
    pose = thing.object_to_world
    inside = abs((world - pose[:3, 3]) @ pose[:3, :3]) <= thing.size / 2 + BOX_SLACK_M
    return int(inside.all(axis=1).sum())
