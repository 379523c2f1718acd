"""Sensors that send no images: GNSS, inertial, collision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from realmaster_live.bridges.carla_wire.rpc import pack
from realmaster_live.bridges.minitown.actors import Actor
from realmaster_live.bridges.minitown.transforms import Pose, matrix

EARTH_RADIUS = 6378137.0  # metres, as CARLA's GeoLocation has it
GRAVITY = 9.81


def geolocation(pose: Pose, latitude_0: float, longitude_0: float) -> tuple[float, float, float]:
    """Return latitude and longitude in degrees and altitude in metres of a place (Mercator)."""
    scale = math.cos(math.radians(latitude_0))
    east = scale * math.radians(longitude_0) * EARTH_RADIUS + pose.x
    north = (
        scale * EARTH_RADIUS * math.log(math.tan(math.radians(90.0 + latitude_0) / 2.0)) - pose.y
    )
    longitude = math.degrees(east / (EARTH_RADIUS * scale))
    latitude = math.degrees(2.0 * math.atan(math.exp(north / (EARTH_RADIUS * scale)))) - 90.0
    return latitude, longitude, pose.z


def gnss_body(sensor: Actor, origin: tuple[float, float]) -> bytes:
    """Return a GNSS message's body; `origin` is the map's latitude and longitude."""
    return pack(geolocation(sensor.pose, *origin))


def imu_reading(sensor: Actor) -> tuple[list[float], list[float], float]:
    """Return acceleration with gravity (m/s^2), turn rate (rad/s), compass (rad from north)."""
    axes = matrix(sensor.pose)[:3, :3]
    felt = axes.T @ np.add(sensor.acceleration, (0.0, 0.0, GRAVITY))
    turn = axes.T @ np.radians(sensor.angular_velocity)
    return felt.tolist(), turn.tolist(), math.radians((sensor.pose.yaw + 90.0) % 360.0)


def imu_body(sensor: Actor) -> bytes:
    """Return an inertial message's body."""
    return pack(imu_reading(sensor))


def collision_body(actor: list[Any], other: list[Any], impulse: tuple[float, ...]) -> bytes:
    """Return a collision message's body of two actors' wire arrays."""
    return pack([actor, other, impulse])
