"""CARLA's measurements in our axes, units and words; see `geometry` for the axes.

A sensor's own axes are CARLA's (x forward, y right, z up) with y to the left. Angular velocities
are axial, so that they change sign where an axis is kept.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.carla.geometry import body_to_world
from realmaster_live.frames.ego import Collision, Control, EgoState, Gnss, Imu, LaneInvasion, Sweep

Vector = NDArray[np.float64]
SEMANTIC_POINT = np.dtype(
    [("place", "<f4", 3), ("cosine", "<f4"), ("object", "<u4"), ("tag", "<u4")]
)
MIRROR = np.array([1.0, -1.0, 1.0])


def polar(vector: Any) -> Vector:
    """Return a place, velocity, acceleration or impulse of CARLA's, (3,), in our axes."""
    return np.array([vector.x, -vector.y, vector.z])


def axial(vector: Any) -> Vector:
    """Return an angular velocity of CARLA's, (3,), in our axes."""
    return np.array([-vector.x, vector.y, -vector.z])


def control_of(control: Any) -> Control:
    """Return a carla.VehicleControl; CARLA does not tell who holds the wheel."""
    return Control(
        throttle=float(control.throttle),
        brake=float(control.brake),
        steer=float(control.steer),
        hand_brake=bool(control.hand_brake),
        reverse=bool(control.reverse),
        gear=int(control.gear),
        manual_gear=bool(control.manual_gear_shift),
    )


def imu_of(measurement: Any) -> Imu:
    """Return a carla.IMUMeasurement."""
    return Imu(
        acceleration=polar(measurement.accelerometer),
        angular_velocity=axial(measurement.gyroscope),
        compass=float(measurement.compass),
    )


def gnss_of(measurement: Any) -> Gnss:
    """Return a carla.GnssMeasurement."""
    return Gnss(
        latitude=float(measurement.latitude),
        longitude=float(measurement.longitude),
        altitude=float(measurement.altitude),
    )


def collision_of(event: Any) -> Collision:
    """Return a carla.CollisionEvent."""
    other = event.other_actor
    return Collision(
        frame_id=event.frame,
        other_id=0 if other is None else int(other.id),
        other_type="" if other is None else str(other.type_id),
        impulse=polar(event.normal_impulse),
    )


def lane_invasion_of(event: Any) -> LaneInvasion:
    """Return a carla.LaneInvasionEvent."""
    words = (
        f"{_words(marking.type)} {_words(marking.color)}" for marking in event.crossed_lane_markings
    )
    return LaneInvasion(frame_id=event.frame, markings=tuple(words))


def lidar_of(measurement: Any) -> Sweep:
    """Return a carla.LidarMeasurement."""
    raw = np.frombuffer(measurement.raw_data, np.float32).reshape(-1, 4)
    return Sweep(
        frame_id=measurement.frame,
        timestamp=measurement.timestamp,
        kind="lidar",
        points=_mirrored(raw[:, :3]),
        values={"intensity": raw[:, 3].copy(), "ring": _rings(measurement)},
        sensor_to_world=body_to_world(measurement.transform.get_matrix()),
    )


def semantic_lidar_of(measurement: Any) -> Sweep:
    """Return a carla.SemanticLidarMeasurement."""
    raw = np.frombuffer(measurement.raw_data, SEMANTIC_POINT)
    return Sweep(
        frame_id=measurement.frame,
        timestamp=measurement.timestamp,
        kind="semantic_lidar",
        points=_mirrored(raw["place"]),
        values={
            "cosine": raw["cosine"].copy(),
            "object_id": raw["object"].astype(np.int64),
            "class_id": raw["tag"].astype(np.uint8),
            "ring": _rings(measurement),
        },
        sensor_to_world=body_to_world(measurement.transform.get_matrix()),
    )


def radar_of(measurement: Any) -> Sweep:
    """Return a carla.RadarMeasurement, whose angles are to the right and up, as points."""
    raw = np.frombuffer(measurement.raw_data, np.float32).reshape(-1, 4)
    velocity, right, up, depth = (raw[:, n].astype(float) for n in range(4))
    level = np.cos(up) * depth
    points = np.stack([level * np.cos(right), -level * np.sin(right), np.sin(up) * depth], axis=1)
    return Sweep(
        frame_id=measurement.frame,
        timestamp=measurement.timestamp,
        kind="radar",
        points=points.astype(np.float32),
        values={"velocity": velocity.astype(np.float32)},
        sensor_to_world=body_to_world(measurement.transform.get_matrix()),
    )


SWEEPS = {"lidar": lidar_of, "semantic_lidar": semantic_lidar_of, "radar": radar_of}
READINGS = {"imu": imu_of, "gnss": gnss_of}
EVENTS = {"collision": collision_of, "lane_invasion": lane_invasion_of}


def state_of(
    ego: Any, frame_id: int, timestamp: float, control: Any | None, **measured: Any
) -> EgoState:
    """Return the state of a vehicle's snapshot with its control and what its sensors measured."""
    turning = ego.get_angular_velocity()  # degrees a second, in the world
    return EgoState(
        frame_id=frame_id,
        timestamp=timestamp,
        velocity=polar(ego.get_velocity()),
        acceleration=polar(ego.get_acceleration()),
        angular_velocity=axial(turning) * (math.pi / 180.0),
        control=control_of(control) if hasattr(control, "throttle") else None,  # a walker's
        **measured,
    )


def _mirrored(points: NDArray[np.float32]) -> NDArray[np.float32]:
    mirrored: NDArray[np.float32] = (points * MIRROR).astype(np.float32)
    return mirrored


def _rings(measurement: Any) -> NDArray[np.uint16]:
    """Return the laser of each point, counted from the highest; CARLA sends laser by laser."""
    counts = [measurement.get_point_count(n) for n in range(measurement.channels)]
    return np.repeat(np.arange(len(counts), dtype=np.uint16), counts)


def _words(name: Any) -> str:
    """Return a name of CARLA's enumerations in words: "SolidBroken" is "solid broken"."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in str(name)).strip()
