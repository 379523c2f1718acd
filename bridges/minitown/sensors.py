"""Sensors that send no images: GNSS, inertial, collision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from realmaster_live.bridges.carla_wire.rpc import pack
from realmaster_live.bridges.minitown.actors import Actor
from realmaster_live.bridges.minitown.transforms import Pose, matrix

EARTH_RADIUS = 6378137.0  # metres, as both projections have it
ECCENTRICITY_2 = 6.69437999014e-3  # of WGS84, squared
GRAVITY = 9.81


def on_sphere(pose: Pose, origin: tuple[float, float]) -> tuple[float, float, float]:
    """Return latitude, longitude (degrees) and altitude of a place by Mercator on a sphere.

    `origin` is the latitude and longitude of the map's zero; x is east and y is south.
    """
    scale = math.cos(math.radians(origin[0]))
    radius = EARTH_RADIUS * scale
    north = radius * math.log(math.tan(math.radians(90.0 + origin[0]) / 2.0)) - pose.y
    longitude = origin[1] + math.degrees(pose.x / radius)
    return math.degrees(2.0 * math.atan(math.exp(north / radius))) - 90.0, longitude, pose.z


def on_ellipsoid(pose: Pose, origin: tuple[float, float]) -> tuple[float, float, float]:
    """Return the same by the transverse Mercator of WGS84 with x east and y north.

    Second order about the map's zero (Snyder 1987, eq. 8-17 and 8-18): a town is small.
    """
    start = math.radians(origin[0])
    middle = start + pose.y / (2.0 * _meridian_radius(start))
    foot = start + pose.y / _meridian_radius(middle)
    across = EARTH_RADIUS / math.sqrt(1.0 - ECCENTRICITY_2 * math.sin(foot) ** 2)
    share = pose.x / across
    latitude = foot - across * math.tan(foot) / _meridian_radius(foot) * share**2 / 2.0
    longitude = origin[1] + math.degrees(share / math.cos(foot))
    return math.degrees(latitude), longitude, pose.z


def gnss_body(sensor: Actor, origin: tuple[float, float], *, ellipsoid: bool) -> bytes:
    """Return a GNSS message's body; `origin` is the map's latitude and longitude."""
    return pack((on_ellipsoid if ellipsoid else on_sphere)(sensor.pose, origin))


def _meridian_radius(latitude: float) -> float:
    bulge = 1.0 - ECCENTRICITY_2 * math.sin(latitude) ** 2
    return EARTH_RADIUS * (1.0 - ECCENTRICITY_2) / (bulge * math.sqrt(bulge))


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
