"""Sensors that send no images: GNSS, inertial, collision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from realmaster_live.bridges.carla.wire.rpc import pack
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.transforms import Pose, matrix

EARTH_RADIUS = 6378137.0  # metres, of the sphere that both projections take
TRANSVERSE_SCALE = 0.9996
GRAVITY = 9.81


def mercator(pose: Pose, origin: tuple[float, float]) -> tuple[float, float, float]:
    """Return latitude, longitude (degrees) and altitude of a place; x is east and y is south.

    `origin` is the latitude and longitude of the map's zero.
    """
    radius = EARTH_RADIUS * math.cos(math.radians(origin[0]))
    north = radius * math.log(math.tan(math.radians(90.0 + origin[0]) / 2.0)) - pose.y
    longitude = origin[1] + math.degrees(pose.x / radius)
    return math.degrees(2.0 * math.atan(math.exp(north / radius))) - 90.0, longitude, pose.z


def transverse_mercator(pose: Pose, origin: tuple[float, float]) -> tuple[float, float, float]:
    """Return the same by a transverse Mercator (Snyder 1987, eq. 8-6 and 8-7); y is north."""
    radius = EARTH_RADIUS * TRANSVERSE_SCALE
    across, up = pose.x / radius, math.radians(origin[0]) + pose.y / radius
    latitude = math.asin(math.sin(up) / math.cosh(across))
    longitude = origin[1] + math.degrees(math.atan2(math.sinh(across), math.cos(up)))
    return math.degrees(latitude), longitude, pose.z


def gnss_body(
    sensor: Actor, origin: tuple[float, float], rng: np.random.Generator, *, transverse: bool
) -> bytes:
    """Return a GNSS message's body; `origin` is the map's latitude and longitude."""
    exact = (transverse_mercator if transverse else mercator)(sensor.pose, origin)
    errors = [
        sensor.number(f"noise_{axis}_bias", 0.0)
        + float(rng.normal(0.0, abs(sensor.number(f"noise_{axis}_stddev", 0.0))))
        for axis in ("lat", "lon", "alt")
    ]
    return pack([value + error for value, error in zip(exact, errors, strict=True)])


def imu_reading(sensor: Actor) -> tuple[list[float], list[float], float]:
    """Return acceleration with gravity (m/s^2), turn rate (rad/s), compass (rad from north)."""
    axes = matrix(sensor.pose)[:3, :3]
    felt = axes.T @ np.add(sensor.acceleration, (0.0, 0.0, GRAVITY))
    turn = axes.T @ np.radians(sensor.angular_velocity)
    return felt.tolist(), turn.tolist(), math.radians((sensor.pose.yaw + 90.0) % 360.0)


def imu_body(sensor: Actor, rng: np.random.Generator) -> bytes:
    """Return an inertial message's body."""
    felt, turn, compass = imu_reading(sensor)

    def error(name: str) -> float:
        return float(rng.normal(0.0, abs(sensor.number(name, 0.0))))

    for n, axis in enumerate("xyz"):
        felt[n] += error(f"noise_accel_stddev_{axis}")
        turn[n] += sensor.number(f"noise_gyro_bias_{axis}", 0.0)
        turn[n] += error(f"noise_gyro_stddev_{axis}")
    return pack([felt, turn, compass])


def collision_body(actor: list[Any], other: list[Any], impulse: tuple[float, ...]) -> bytes:
    """Return a collision message's body of two actors' wire arrays."""
    return pack([actor, other, impulse])
