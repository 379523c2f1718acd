"""Laser scanners and radars: which rays they send in a tick, and what they say of the echoes.

Rays, drop-off, noise and the messages' layouts follow CARLA 0.9.16 (RayCastSemanticLidar.cpp,
RayCastLidar.cpp, Radar.cpp, LidarData.h).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ActorError
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.transforms import Vector, matrix

LIDAR = "sensor.lidar.ray_cast"
SEMANTIC_LIDAR = "sensor.lidar.ray_cast_semantic"
RADAR = "sensor.other.radar"
WIRE_NAMES: Mapping[str, str] = {LIDAR: "lidar", SEMANTIC_LIDAR: "semantic_lidar", RADAR: "radar"}
MOST_SCANNERS = 16
MOST_RAYS = 1 << 21  # that one scanner sends in a tick
SEMANTIC_POINT = np.dtype(
    [("place", "<f4", 3), ("cosine", "<f4"), ("object", "<u4"), ("tag", "<u4")]
)
Array = NDArray[np.float64]
# attribute -> lowest and highest value that is taken
LIMITS: Mapping[str, tuple[float, float]] = {
    "channels": (1, 512), "range": (0.01, 2000.0), "points_per_second": (1, 50_000_000),
    "rotation_frequency": (0.0, 1000.0), "upper_fov": (-90.0, 90.0), "lower_fov": (-90.0, 90.0),
    "horizontal_fov": (0.01, 360.0), "vertical_fov": (0.01, 179.0),
    "atmosphere_attenuation_rate": (0.0, 1e3), "noise_stddev": (0.0, 100.0),
    "dropoff_general_rate": (0.0, 1.0), "dropoff_intensity_limit": (0.0, 1.0),
    "dropoff_zero_intensity": (0.0, 1.0), "noise_seed": (-(2**31), 2**32 - 1),
}  # fmt: skip


@dataclass(frozen=True)
class Scan:
    """The rays of one scanner in one tick.

    Attributes:
        pose: (4, 4) sensor to world. directions: (R, 3) of length one, in the sensor's axes.
        reach: (R,) metres. rows: (R,) the laser that sends each ray.
        velocity: of the sensor in the world, m/s. angle: a lidar's new horizontal one, radians.
    """

    pose: Array
    directions: Array
    reach: Array
    rows: NDArray[np.int64]
    velocity: Array
    angle: float


@dataclass(frozen=True)
class Echo:
    """What the rays of a scan met; each is (R,), `velocity` (R, 3) m/s of what was met."""

    distance: Array
    cosine: NDArray[np.float32]
    semantic: NDArray[np.uint8]
    actor: NDArray[np.int32]
    velocity: Array


class Scanner:
    """One lidar or radar: its attributes, how far it has turned, and its randomness."""

    def __init__(self, sensor: Actor) -> None:
        """Read a sensor's attributes; raise ActorError where one is out of range."""
        self.sensor, self.kind = sensor, sensor.type_id
        self._values = {
            name: _checked(sensor, name) for name in LIMITS if name in sensor.attributes
        }
        if self.kind == RADAR and self._values["horizontal_fov"] >= 180.0:
            raise ActorError(
                f"expected horizontal_fov below 180 degrees of a radar, got "
                f"{self._values['horizontal_fov']:g}: set less"
            )
        self._rng = np.random.default_rng(int(self._values.get("noise_seed", 0)) % 2**32)
        self._angle_deg = 0.0
        self._before: tuple[float, Vector] | None = None  # time and place of the last scan

    def scan(self, now_s: float, tick_s: float) -> Scan | None:
        """Return the rays of this tick; None where the points of a second leave none for it."""
        place = self.sensor.pose.location
        since_s = max(tick_s, self.sensor.number("sensor_tick", 0.0))
        velocity = np.asarray(self.sensor.velocity, float)
        if self._before is not None and now_s > self._before[0]:
            elapsed_s = now_s - self._before[0]
            velocity = np.subtract(place, self._before[1]) / elapsed_s
            # nobody listened meanwhile: there is no scan for all that time
            since_s = elapsed_s if elapsed_s < 2.0 * since_s else since_s
        self._before = now_s, place
        directions, reach, rows = (self._cone if self.kind == RADAR else self._turn)(since_s)
        if not len(directions):
            return None
        angle = math.radians(self._angle_deg)
        return Scan(matrix(self.sensor.pose), directions, reach, rows, velocity, angle)

    def body(self, scan: Scan, echo: Echo) -> bytes:
        """Return the message's body for what a scan met."""
        met = np.isfinite(echo.distance)
        if self.kind == RADAR:
            return self._detections(scan, echo, met)
        if self.kind == SEMANTIC_LIDAR:
            points = np.zeros(int(met.sum()), SEMANTIC_POINT)
            points["place"] = scan.directions[met] * echo.distance[met, None]
            points["cosine"], points["object"] = echo.cosine[met], echo.actor[met]
            points["tag"] = echo.semantic[met]
            return self._head(scan, met) + points.tobytes()
        return self._intensities(scan, echo, met)

    def _turn(self, since_s: float) -> tuple[Array, Array, NDArray[np.int64]]:
        """Turn a lidar on; return directions, reach and lasers of the rays that are not dropped."""
        value = self._values
        lasers, wide = int(value["channels"]), value["horizontal_fov"]
        count = math.floor(value["points_per_second"] * since_s / lasers + 0.5)
        if count * lasers > MOST_RAYS:
            count = MOST_RAYS // lasers
        turned = value["rotation_frequency"] * wide * since_s
        across = np.fmod(self._angle_deg + turned / max(count, 1) * np.arange(count), wide)
        # rounded, so that a whole turn ends where it began
        self._angle_deg = math.fmod(round(self._angle_deg + turned, 6), wide)
        up = np.radians(np.linspace(value["upper_fov"], value["lower_fov"], lasers))
        if lasers == 1:
            up = np.radians([value["upper_fov"]])
        yaw = np.radians(across - wide / 2)
        directions = np.empty((lasers, count, 3))
        directions[..., 0] = np.cos(up)[:, None] * np.cos(yaw)
        directions[..., 1] = np.cos(up)[:, None] * np.sin(yaw)
        directions[..., 2] = np.sin(up)[:, None]
        rows = np.repeat(np.arange(lasers), count)
        flat = directions.reshape(-1, 3)
        lost = value.get("dropoff_general_rate", 0.0)
        if lost > 0.0:
            kept = self._rng.random(len(flat)) >= lost
            flat, rows = flat[kept], rows[kept]
        return flat, np.full(len(flat), value["range"]), rows

    def _cone(self, since_s: float) -> tuple[Array, Array, NDArray[np.int64]]:
        """Return directions and reach of a radar's rays, at random in its elliptic cone."""
        value = self._values
        count = min(int(value["points_per_second"] * since_s), MOST_RAYS)
        radius, angle = self._rng.random(count), self._rng.uniform(0.0, 2 * math.pi, count)
        wide, high = (
            math.tan(math.radians(value[f"{axis}_fov"] / 2)) for axis in ("horizontal", "vertical")
        )
        ends = np.stack(
            [np.ones(count), wide * radius * np.cos(angle), high * radius * np.sin(angle)], axis=-1
        )
        length = np.linalg.norm(ends, axis=1)
        rows = np.zeros(count, np.int64)
        return ends / length[:, None], length * value["range"], rows

    def _intensities(self, scan: Scan, echo: Echo, met: NDArray[np.bool_]) -> bytes:
        value = self._values
        distance = echo.distance
        intensity = np.exp(-value["atmosphere_attenuation_rate"] * np.where(met, distance, 0.0))
        limit, zero = value["dropoff_intensity_limit"], value["dropoff_zero_intensity"]
        chance = (zero / limit if limit > 0.0 else 0.0) * intensity + 1.0 - zero
        if value["noise_stddev"] > 0.0:
            distance = distance + self._rng.normal(0.0, value["noise_stddev"], len(distance))
        kept = met & ((intensity > limit) | (self._rng.random(len(distance)) < chance))
        points = np.empty((int(kept.sum()), 4), "<f4")
        points[:, :3] = scan.directions[kept] * distance[kept, None]
        points[:, 3] = intensity[kept]
        return self._head(scan, kept) + points.tobytes()

    def _head(self, scan: Scan, kept: NDArray[np.bool_]) -> bytes:
        lasers = int(self._values["channels"])
        counts = np.bincount(scan.rows[kept], minlength=lasers).astype("<u4")
        return struct.pack("<fI", scan.angle, lasers) + counts.tobytes()

    def _detections(self, scan: Scan, echo: Echo, met: NDArray[np.bool_]) -> bytes:
        directions = scan.directions[met]
        world = directions @ scan.pose[:3, :3].T
        found = np.empty((len(directions), 4), "<f4")
        found[:, 0] = ((echo.velocity[met] - scan.velocity) * world).sum(axis=1)
        found[:, 1] = np.arctan2(directions[:, 1], directions[:, 0])
        found[:, 2] = np.arcsin(np.clip(directions[:, 2], -1.0, 1.0))
        found[:, 3] = echo.distance[met]
        return found.tobytes()


def echo_of(caster: Any, scan: Scan, velocities: Mapping[int, Vector]) -> Echo:
    """Return what a scan meets; `caster` is a `raster.RayCaster` in which everything is placed."""
    pose = scan.pose
    met = caster.cast(pose[:3, 3], scan.directions @ pose[:3, :3].T, float(scan.reach.max()))
    distance = np.where(met.distance <= scan.reach, met.distance, np.inf)
    speeds = np.zeros((len(distance), 3))
    for actor in np.unique(met.actor).tolist():
        if actor in velocities:
            speeds[met.actor == actor] = velocities[actor]
    return Echo(distance, met.cosine, met.semantic, met.actor, speeds)


def _checked(sensor: Actor, name: str) -> float:
    value, (least, most) = sensor.number(name, 0.0), LIMITS[name]
    if not least <= value <= most:
        raise ActorError(
            f"expected {name} within {least:g}..{most:g} of {sensor.type_id}, got {value:g}: set "
            "another"
        )
    return value
