"""KITTI's velodyne and oxts of frames whose recording has a lidar or GNSS.

    velodyne/000000.bin   float32 x, y, z, intensity; KITTI's laser axes are ours
    oxts/000000.txt       the thirty values of KITTI's raw data

East, north and up of oxts are our world's x, y and z. Accuracies and receiver states are 0: the
simulator has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.ego import EgoState, Sweep

GRAVITY = (0.0, 0.0, 9.81)  # m/s^2, felt by what stands still
VALUES = 30


def ego_files(frame: Frame, name: str, *, lidar: Sweep | None) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of what a frame has of the two; `lidar` is its sweep."""
    if lidar is not None:
        yield f"velodyne/{name}.bin", velodyne(lidar)
    if has_fix(frame):
        yield f"oxts/{name}.txt", f"{oxts(frame)}\n".encode()


def has_fix(frame: Frame) -> bool:
    """Return whether a frame has a position."""
    return frame.ego is not None and frame.ego.gnss is not None


def lidar_of(frame: Frame) -> Sweep | None:
    """Return the sweep of a frame's first lidar; None where it has none."""
    sweeps = {} if frame.ego is None else frame.ego.sweeps
    return next((sweep for sweep in sweeps.values() if sweep.kind == "lidar"), None)


def velodyne(lidar: Sweep) -> bytes:
    """Return the content of a .bin file."""
    rows = np.column_stack([lidar.points, lidar.values["intensity"]])
    return rows.astype("<f4").tobytes()


def mounts(frame: Frame, lidar: Sweep | None) -> Mapping[str, NDArray[np.float64]]:
    """Return name -> (3, 4) of a calibration file's rows about a recorded lidar; none without."""
    if lidar is None:
        return {}
    to_velodyne = np.linalg.inv(lidar.sensor_to_world)
    found = {"Tr_velo_to_cam": np.linalg.inv(frame.cam_to_world) @ lidar.sensor_to_world}
    if frame.ego_to_world is not None:
        found["Tr_imu_to_velo"] = to_velodyne @ frame.ego_to_world @ _imu_to_ego(frame)
    return {name: pose[:3] for name, pose in found.items()}


def oxts(frame: Frame) -> str:
    """Return the values of a frame as one line; those that are missing are nan."""
    ego, pose = frame.ego, frame.ego_to_world
    if ego is None or pose is None:
        return " ".join(["nan"] * VALUES)
    turn = pose[:3, :3]
    yaw = math.atan2(turn[1, 0], turn[0, 0])
    roll, pitch = math.atan2(turn[2, 1], turn[2, 2]), -math.asin(np.clip(turn[2, 0], -1.0, 1.0))
    cos, sin = math.cos(yaw), math.sin(yaw)
    level = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    east, north, _ = ego.velocity
    felt, turning = _inertial(ego, turn)
    along = level.T @ turn  # from the vehicle's axes to those of the ground below it
    values = [
        *_place(ego), roll, pitch, yaw, north, east, *(level.T @ ego.velocity),
        *felt, *(along @ felt), *turning, *(along @ turning), 0.0, 0.0,
    ]  # fmt: skip
    return " ".join(f"{value:.14g}" for value in values) + " 0" * (VALUES - len(values))


def _place(ego: EgoState) -> tuple[float, float, float]:
    fix = ego.gnss
    return (math.nan,) * 3 if fix is None else (fix.latitude, fix.longitude, fix.altitude)


def _inertial(
    ego: EgoState, turn: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return acceleration with gravity and turn rate in the vehicle's axes, measured or derived."""
    if ego.imu is not None:
        return ego.imu.acceleration, ego.imu.angular_velocity
    return turn.T @ (ego.acceleration + GRAVITY), turn.T @ ego.angular_velocity


def _imu_to_ego(frame: Frame) -> NDArray[np.float64]:
    known = None if frame.source is None else frame.source.sensors.get("imu")
    pose = None if known is None else known.sensor_to_ego
    return np.eye(4) if pose is None else np.array(pose, np.float64)
