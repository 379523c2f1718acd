"""Plans a way along the lanes of a CARLA map, by Dijkstra's algorithm over its waypoints.

The map is the client's own, made of the OpenDRIVE: asking it costs the server nothing.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.frames.route import Route

STEP_M = 2.0  # between waypoints
CHANGE_M = 16.0  # along the road while a lane is changed
CHANGE_COST_M = 25.0
OFF_ROAD_M = 10.0  # how far from a lane a place may be
MOST = 200_000  # waypoints that are looked at for one place

Key = tuple[int, int, int, int]


def places_of(route: Route, carla_map: Any) -> list[tuple[float, float]]:
    """Return x, y of the places of a route.

    Raises:
        ConfigError: the map has no such spawn point.
    """
    if route.points:
        return list(route.points)
    spawn_points = carla_map.get_spawn_points()
    unknown = [number for number in route.spawn_points if number >= len(spawn_points)]
    if unknown:
        raise ConfigError(
            f"expected spawn points below {len(spawn_points)} in {carla_map.name}, got "
            f"{', '.join(map(str, unknown))}: name others"
        )
    found = (spawn_points[number].location for number in route.spawn_points)
    return [(place.x, place.y) for place in found]


def lane_at(carla: Any, carla_map: Any, x: float, y: float) -> Any:
    """Return the waypoint of the lane at a place.

    Raises:
        ConfigError: no lane is near.
    """
    waypoint = carla_map.get_waypoint(carla.Location(x=x, y=y))
    place = None if waypoint is None else waypoint.transform.location
    away = math.inf if place is None else math.hypot(place.x - x, place.y - y)
    if away > OFF_ROAD_M:
        near = "no lane" if place is None else f"the nearest lane at {place.x:.0f},{place.y:.0f}"
        raise ConfigError(
            f"expected places on the roads of {carla_map.name}, got {x:g},{y:g} with {near}: move "
            "it there"
        )
    return waypoint


def plan_way(
    carla: Any,
    carla_map: Any,
    start: Any,  # carla.Location
    places: Sequence[tuple[float, float]],
) -> NDArray[np.float64]:
    """Return the way (N, 2), x and y in metres, along lanes from a location through all places.

    Raises:
        ConfigError: a place is off the roads, or cannot be reached.
    """
    here = lane_at(carla, carla_map, start.x, start.y)
    way = [_xy(here)]
    for x, y in places:
        goal = lane_at(carla, carla_map, x, y)
        part = _shortest(carla, here, goal)
        if part is None:
            raise ConfigError(
                f"expected a way along the lanes of {carla_map.name} to {x:g},{y:g}, got none from "
                f"{way[-1][0]:.0f},{way[-1][1]:.0f}: move the place to another lane or leave it out"
            )
        way += [_xy(waypoint) for waypoint in part]
        here = part[-1] if part else here
    return _evenly(np.array(way, np.float64).reshape(-1, 2))


def _evenly(way: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a way with a point every STEP_M: waypoints lie apart where a lane is changed."""
    steps = np.diff(way, axis=0)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
    at = np.arange(0.0, along[-1] + STEP_M, STEP_M)
    return np.stack([np.interp(at, along, way[:, axis]) for axis in (0, 1)], axis=1)


def _shortest(carla: Any, start: Any, goal: Any) -> list[Any] | None:
    """Return the waypoints after `start` up to the goal; None where there is no way."""
    target = _xy(goal)
    order = itertools.count()  # waypoints cannot be compared
    waiting: list[tuple[float, int, Any, Key | None]] = [(0.0, next(order), start, None)]
    before: dict[Key, tuple[Any, Key | None]] = {}
    while waiting and len(before) < MOST:
        cost, _, waypoint, came = heapq.heappop(waiting)
        key = _key(waypoint)
        if key in before:
            continue
        before[key] = waypoint, came
        if math.dist(_xy(waypoint), target) <= 0.75 * STEP_M:
            return _back(before, key)
        for following, length in _following(carla, waypoint):
            if _key(following) not in before:
                heapq.heappush(waiting, (cost + length, next(order), following, key))
    return None


def _following(carla: Any, waypoint: Any) -> Iterator[tuple[Any, float]]:
    """Yield the waypoints that a vehicle may go to from here, and what that costs in metres."""
    for following in waypoint.next(STEP_M):
        yield following, STEP_M
    if waypoint.is_junction:
        return
    allowed = carla.LaneChange
    for change, beside in (
        (allowed.Left, waypoint.get_left_lane),
        (allowed.Right, waypoint.get_right_lane),
    ):
        if waypoint.lane_change not in (change, allowed.Both):
            continue
        lane = beside()
        if lane is None or lane.lane_type != carla.LaneType.Driving:
            continue
        if lane.lane_id * waypoint.lane_id > 0:  # of the same direction
            for following in lane.next(CHANGE_M):
                if following.road_id == waypoint.road_id:  # not on the last metres to a junction
                    yield following, CHANGE_COST_M


def _back(before: dict[Key, tuple[Any, Key | None]], last: Key) -> list[Any]:
    found = []
    key: Key | None = last
    while key is not None:
        waypoint, key = before[key]
        found.append(waypoint)
    return found[-2::-1]  # without the first, which the vehicle is at


def _key(waypoint: Any) -> Key:
    place = round(waypoint.s / STEP_M)
    return waypoint.road_id, waypoint.section_id, waypoint.lane_id, place


def _xy(waypoint: Any) -> tuple[float, float]:
    place = waypoint.transform.location
    return place.x, place.y
