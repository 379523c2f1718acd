"""The town's road network as data: what traffic drives on, OpenDRIVE describes and meshes cover.

CARLA's axes: left-handed, x forward, y right, z up, metres, yaw in degrees. Traffic keeps right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LaneKey = tuple[int, int]  # (OpenDRIVE road id, OpenDRIVE lane id)


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One driving lane of one road or junction connection.

    Attributes:
        centre: (N, 3) float64 metres, the centre line in driving direction, points <= 2 m apart.
        successors: lanes that a car may go on to at its end.
        junction: OpenDRIVE junction id, -1 outside junctions.
        signal: id of the Signal that a car must obey at this lane's end, 0 for none.
        speed_limit: metres a second.
    """

    key: LaneKey
    centre: NDArray[np.float64]
    width: float
    successors: tuple[LaneKey, ...]
    junction: int = -1
    signal: int = 0
    speed_limit: float = 8.3
    turn: str = "straight"  # or "left", "right": what a junction lane does


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A traffic light head at the end of an approach.

    Attributes:
        position: (x, y, z) of the pole's foot, metres. yaw_deg: where the head faces.
        junction: id of the junction it belongs to. phase: signals of one phase are green together.
    """

    id: int
    position: tuple[float, float, float]
    yaw_deg: float
    junction: int
    phase: int


@dataclass(frozen=True, kw_only=True)
class Sign:
    """A speed limit, or a yield or stop sign where no arm lies opposite; not in the picture.

    Attributes:
        road: OpenDRIVE road id. s: metres along it. backwards: whether it holds for the lanes that
            run against the road. speed_limit: metres a second, None for the others.
        is_stop: whether it is a stop sign.
    """

    id: int
    road: int
    s: float
    backwards: bool
    speed_limit: float | None = None
    is_stop: bool = False


@dataclass(frozen=True, kw_only=True)
class SpawnPoint:
    """A place on a driving lane where a vehicle can be put, z a little above the road."""

    location: tuple[float, float, float]
    yaw_deg: float
    lane: LaneKey


@dataclass(frozen=True, kw_only=True)
class RoadNetwork:
    """Everything that moves needs to know of the town.

    Attributes:
        spawn_points: for clients; any vehicle fits at each, all of them taken.
        starts: for ambient traffic, which looks whether there is room; denser.
        footpaths: closed (N, 2) float64 loops round the blocks' sidewalks, for walkers.
        crossings: (2, 2) float64 straight walks over a road, with the junction they belong to.
    """

    seed: int
    name: str
    lanes: Mapping[LaneKey, Lane]
    signals: Mapping[int, Signal]
    spawn_points: tuple[SpawnPoint, ...]
    starts: tuple[SpawnPoint, ...]
    footpaths: tuple[NDArray[np.float64], ...] = ()
    crossings: tuple[tuple[int, NDArray[np.float64]], ...] = ()
    opendrive: str = field(default="", repr=False)
