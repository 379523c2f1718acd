"""What the vehicle that carries the cameras did and measured at one tick.

Axes are ours: the world's for what is not measured by a sensor, and the sensor's own (x forward,
y left, z up) for what is. Angular velocities are right-handed, radians a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SweepKind = Literal["lidar", "semantic_lidar", "radar"]
# the values of a point besides x, y, z, and their types
SWEEP_VALUES: Mapping[str, Mapping[str, type[np.generic]]] = {
    "lidar": {"intensity": np.float32, "ring": np.uint16},
    "semantic_lidar": {
        "cosine": np.float32,  # of the angle between the ray and the surface's normal
        "object_id": np.int64,  # 0 for what is no actor
        "class_id": np.uint8,
        "ring": np.uint16,
    },
    "radar": {"velocity": np.float32},  # m/s along the ray, positive where it moves away
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What moves the vehicle.

    Attributes:
        throttle, brake: 0 to 1. steer: -1 (left) to 1 (right). gear: -1 is reverse.
        autopilot: whether the simulator's own driver holds the wheel; None where it does not tell.
    """

    throttle: float
    brake: float
    steer: float
    hand_brake: bool = False
    reverse: bool = False
    gear: int = 0
    manual_gear: bool = False
    autopilot: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imu:
    """One reading of an inertial sensor, in its own axes.

    Attributes:
        acceleration: (3,) m/s^2 as it is felt, gravity included. angular_velocity: (3,) rad/s.
        compass: radians clockwise from north, seen from above.
    """

    acceleration: NDArray[np.float64]
    angular_velocity: NDArray[np.float64]
    compass: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gnss:
    """One position fix: latitude and longitude in degrees, altitude in metres."""

    latitude: float
    longitude: float
    altitude: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """The vehicle touched something.

    Attributes:
        frame_id: the simulator's frame number.
        other_id: 0 where it is a part of the town. other_type: the simulator's own type.
        impulse: (3,) N s on the vehicle, in the world.
    """

    frame_id: int
    other_id: int
    other_type: str
    impulse: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneInvasion:
    """The vehicle crossed lines of the road.

    Attributes:
        frame_id: the simulator's frame number.
        markings: the type and colour of each line, such as "solid white".
    """

    frame_id: int
    markings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What one lidar or radar measured at one tick.

    Attributes:
        frame_id: the simulator's frame number. timestamp: simulation clock, seconds.
        kind: what measured it.
        points: (N, 3) float32 metres in the sensor's axes: x forward, y left, z up.
        values: name -> (N,), those of SWEEP_VALUES.
        sensor_to_world: (4, 4) float64, metres.
    """

    frame_id: int
    timestamp: float
    kind: SweepKind
    points: NDArray[np.float32]
    values: Mapping[str, NDArray[Any]]
    sensor_to_world: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgoState:
    """The vehicle at one tick.

    Attributes:
        frame_id: the simulator's frame number.
        timestamp: simulation clock, seconds.
        velocity: (3,) m/s. acceleration: (3,) m/s^2. angular_velocity: (3,) rad/s. In the world.
        control: None where the simulator does not tell what it was at this very tick.
        imu, gnss: readings of this tick.
        collisions, lane_invasions: events that came since the state before; each has its number.
        sweeps: name of the sensor -> its sweep of this tick.
        missing: names of sensors that should have delivered and did not; nothing stands in.
    """

    frame_id: int
    timestamp: float
    velocity: NDArray[np.float64]
    acceleration: NDArray[np.float64]
    angular_velocity: NDArray[np.float64]
    control: Control | None = None
    imu: Imu | None = None
    gnss: Gnss | None = None
    collisions: tuple[Collision, ...] = ()
    lane_invasions: tuple[LaneInvasion, ...] = ()
    sweeps: Mapping[str, Sweep] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def speed(self) -> float:
        """Metres a second."""
        return float(np.linalg.norm(self.velocity))
