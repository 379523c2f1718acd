"""The sensors of a vehicle besides its cameras: which there are, and what each is by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from realmaster_live.errors import ConfigError


class Place(NamedTuple):
    """Where a sensor sits on its vehicle, in CARLA's axes; see `rig.Mount`."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    pitch_deg: float = 0.0
    yaw_deg: float = 0.0
    roll_deg: float = 0.0


class SensorKind(NamedTuple):
    """CARLA's blueprint of a kind of sensor, and our defaults for it."""

    blueprint: str
    place: Place = Place()
    attributes: Mapping[str, float | int] = MappingProxyType({})


_SCAN = MappingProxyType(
    {"channels": 32, "range": 100.0, "points_per_second": 640_000, "upper_fov": 10.0,
     "lower_fov": -30.0}
)  # fmt: skip
SENSOR_KINDS: Mapping[str, SensorKind] = {
    "imu": SensorKind("sensor.other.imu"),
    "gnss": SensorKind("sensor.other.gnss"),
    "collision": SensorKind("sensor.other.collision"),
    "lane_invasion": SensorKind("sensor.other.lane_invasion"),
    "lidar": SensorKind("sensor.lidar.ray_cast", Place(z=2.4), _SCAN),
    "semantic_lidar": SensorKind("sensor.lidar.ray_cast_semantic", Place(z=2.4), _SCAN),
    "radar": SensorKind("sensor.other.radar", Place(x=2.5, z=0.8)),
}
SCANNING = ("lidar", "semantic_lidar", "radar")
EVENTS = ("collision", "lane_invasion")  # that report only when something happens
USUAL_SENSORS = ("imu", "gnss", "collision", "lane_invasion")  # cheap enough for every recording


@dataclass(frozen=True, kw_only=True)
class RigSensor:
    """One sensor of a rig.

    Attributes:
        kind: one of SENSOR_KINDS.
        name: what readings are recorded under; the kind by default.
        place: where it sits; None for the kind's own place.
        attributes: of CARLA's blueprint, besides the kind's own. A lidar turns once a tick unless
            `rotation_frequency` is given.
    """

    kind: str
    name: str = ""
    place: Place | None = None
    attributes: Mapping[str, str | float | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values and fill in the kind's own, once; raises ConfigError."""
        known = SENSOR_KINDS.get(self.kind)
        if known is None:
            raise ConfigError(
                f"expected sensors out of {', '.join(SENSOR_KINDS)}, got {self.kind!r}: leave the "
                "others out"
            )
        name = self.name or self.kind
        if not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
            raise ConfigError(
                f"expected a sensor name of letters, digits, - and _, got {name!r}: it is the name "
                "of a file too"
            )
        if self.kind not in SCANNING and name != self.kind:
            raise ConfigError(
                f"expected one {self.kind}, without another name, got {name!r}: only lidars and "
                "radars have names"
            )
        tick = self.attributes.get("sensor_tick", 0)
        if str(tick) not in ("0", "0.0"):
            raise ConfigError(
                f"expected {name} to measure at every tick, got sensor_tick {tick}: take it out, "
                "as a recording holds a reading of each frame"
            )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "place", self.place or known.place)
        object.__setattr__(self, "attributes", {**known.attributes, **self.attributes})


def rig_sensors(sensors: Sequence[str | RigSensor]) -> tuple[RigSensor, ...]:
    """Return the sensors that names and RigSensors stand for, each once.

    Raises:
        ConfigError: a name is unknown, or two sensors have the same.
    """
    found = [one if isinstance(one, RigSensor) else RigSensor(kind=one) for one in sensors]
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"expected sensors with different names, got {twice[0]} twice: give each one its own"
        )
    return tuple(found)
