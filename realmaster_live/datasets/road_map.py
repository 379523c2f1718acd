"""The roads of a town, from its OpenDRIVE: lane lines, lanes and crossings in the world.

The CARLA client reads the OpenDRIVE, so that curves, widths and markings are those of the simulator
itself.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.selection import Drive
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.optional import require

Points = NDArray[np.float64]  # (N, 3) in the world, metres
Look = tuple[str, str]  # kind and colour of a line, ("none", "") where there is none
LaneKey = tuple[int, int, int]  # OpenDRIVE's road and lane section, and the lane's number

STEP_M = 1.0  # between two points of a line
SPACING_M = 0.5  # between two of `RoadMap.spaced`
JOINED_M = 1.5  # ends of two lines that are one: a line may end a step before its road does
JOINED_COS = np.cos(np.radians(20.0))  # of the angle between them


@dataclass(frozen=True, kw_only=True)
class LaneLine:
    """A painted line or a kerb, along the traffic beside it.

    Attributes:
        points: where it runs.
        kind: "broken", "solid", "solid_solid", "solid_broken", "broken_solid", "broken_broken",
            "botts_dots", "grass", "curb" or "other"; of two lines the left one comes first.
        colour: "white", "yellow", "blue", "green", "red" or "other".
        between_directions: whether the traffic beyond it comes from ahead.
    """

    points: Points
    kind: str
    colour: str
    between_directions: bool = False


@dataclass(frozen=True, kw_only=True)
class Lane:
    """A lane of one road, in the direction of its traffic.

    Attributes:
        key: its road, section and number.
        kind: OpenDRIVE's type in lower case: "driving", "sidewalk", "parking", "shoulder" ...
        in_junction: whether it crosses a junction.
        centre, left, right: its middle and borders, with as many points each.
        left_look, right_look: the lines at its borders.
        successors: the lanes in which it continues.
    """

    key: LaneKey
    kind: str
    in_junction: bool
    centre: Points
    left: Points
    right: Points
    left_look: Look
    right_look: Look
    successors: tuple[LaneKey, ...]


@dataclass(frozen=True, kw_only=True)
class RoadMap:
    """The roads of a town.

    Attributes:
        lines: lane lines, joined from road to road. lanes: by key.
        crossings: outlines of pedestrian crossings.
    """

    lines: tuple[LaneLine, ...]
    lanes: Mapping[LaneKey, Lane]
    crossings: tuple[Points, ...]

    @cached_property
    def spaced(self) -> tuple[Points, NDArray[np.int64]]:
        """Points (P, 3) of all lines at even distances, and the number (P,) of each one's line."""
        lines = [_spaced(line.points) for line in self.lines]
        numbers = np.repeat(np.arange(len(lines)), [len(points) for points in lines])
        return np.concatenate([np.empty((0, 3)), *lines]), numbers


def road_map_of(drive: Drive) -> RoadMap:
    """Return the roads of a drive's town.

    Raises:
        RecordingError: the recording holds no OpenDRIVE of the town.
        ConfigError: the OpenDRIVE cannot be read.
    """
    town = drive.recording.meta.about.town
    text = drive.recording.opendrive.get(town)
    if text is None:
        raise RecordingError(
            f"expected the OpenDRIVE of {town or 'the town'} in the recording {drive.name}, got "
            "none: record again from CARLA or the embedded town with this release, or give it to "
            "Recorder(opendrive=...)"
        )
    return read_opendrive(text)


@lru_cache(maxsize=4)  # drives through one town follow each other
def read_opendrive(text: str) -> RoadMap:
    """Return the roads that an OpenDRIVE describes.

    Raises:
        ConfigError: it cannot be read.
    """
    carla = require("carla", extra="carla")
    try:
        roads = carla.Map("roads", text)
        places = _by_lane(roads.generate_waypoints(STEP_M))
    except RuntimeError as error:
        raise ConfigError(
            f"expected an OpenDRIVE that the CARLA client reads, got {error}: check the map"
        ) from error
    lanes = {key: _lane(key, one) for key, one in places.items()}
    lanes = {key: _reaching(lane, lanes) for key, lane in lanes.items()}
    lines = [line for key, one in places.items() for line in _lines_of(key, one, places)]
    crossings = tuple(_outlines([_place(one) for one in roads.get_crosswalks()]))
    return RoadMap(lines=_joined(lines), lanes=lanes, crossings=crossings)


def _by_lane(waypoints: Sequence[Any]) -> dict[LaneKey, list[Any]]:
    """Return the waypoints of each lane in the direction of its traffic, and of those beside it."""
    found: dict[LaneKey, dict[float, Any]] = defaultdict(dict)
    for waypoint in waypoints:
        found[_key(waypoint)][waypoint.s] = waypoint
        for beside in _beside(waypoint):
            found[_key(beside)].setdefault(beside.s, beside)
    return {
        key: [one for _, one in sorted(places.items(), reverse=key[2] > 0)]
        for key, places in found.items()
        if len(places) > 1
    }


def _beside(waypoint: Any) -> Iterator[Any]:
    """Yield the places on kerbs, sidewalks and so on at both sides of a lane."""
    for step in ("get_right_lane", "get_left_lane"):
        beside = getattr(waypoint, step)()
        # lanes of the other direction turn around: their right is on our left
        while beside is not None and str(beside.lane_type) != "Driving":
            if beside.lane_id * waypoint.lane_id < 0:
                break
            yield beside
            beside = getattr(beside, step)()


def _key(waypoint: Any) -> LaneKey:
    return waypoint.road_id, waypoint.section_id, waypoint.lane_id


def _lane(key: LaneKey, places: Sequence[Any]) -> Lane:
    left, right = (_border(places, side) for side in (-0.5, 0.5))
    following = {_key(one) for one in places[-1].next(1.5 * STEP_M)}
    return Lane(
        key=key,
        kind=_words(places[0].lane_type),
        in_junction=bool(places[0].is_junction),
        centre=_border(places, 0.0),
        left=left,
        right=right,
        left_look=_look(places[len(places) // 2].left_lane_marking),
        right_look=_look(places[len(places) // 2].right_lane_marking),
        successors=tuple(sorted(following - {key})),
    )


def _reaching(lane: Lane, lanes: Mapping[LaneKey, Lane]) -> Lane:
    """Return a lane that reaches to where its first successor begins."""
    after = next((lanes[key] for key in lane.successors if key in lanes), None)
    if after is None:
        return lane
    return replace(
        lane,
        centre=np.concatenate([lane.centre, after.centre[:1]]),
        left=np.concatenate([lane.left, after.left[:1]]),
        right=np.concatenate([lane.right, after.right[:1]]),
    )


def _lines_of(
    key: LaneKey, places: Sequence[Any], lanes: Mapping[LaneKey, object]
) -> Iterator[LaneLine]:
    """Yield the lines of a lane: its outer one, and the one in the middle of the road."""
    yield from _line([one.right_lane_marking for one in places], _border(places, 0.5))
    road, section, number = key
    if number == -1 or (number == 1 and (road, section, -1) not in lanes):
        two_ways = number == -1 and (road, section, 1) in lanes
        for line in _line([one.left_lane_marking for one in places], _border(places, -0.5)):
            yield replace(line, between_directions=two_ways)


def _line(markings: Sequence[Any], border: Points) -> Iterator[LaneLine]:
    """Yield the stretches of a border along which it is marked in one way."""
    looks = [_look(one) for one in markings]
    begin = 0
    for place in range(1, len(looks) + 1):
        if place == len(looks) or looks[place] != looks[begin]:
            kind, colour = looks[begin]
            points = border[begin : place + 1]  # up to where the next one begins
            if kind != "none" and len(points) > 1:
                yield LaneLine(points=points, kind=kind, colour=colour)
            begin = place


def _look(marking: Any | None) -> Look:
    if marking is None or str(marking.type) == "NONE":
        return "none", ""
    colour = _words(marking.color)
    return _words(marking.type), "white" if colour == "standard" else colour  # OpenDRIVE's word


def _border(places: Sequence[Any], side: float) -> Points:
    """Return points beside the middle of a lane, in lane widths to the right."""
    found = []
    for one in places:
        right = one.transform.get_right_vector()
        middle, shift = one.transform.location, side * one.lane_width
        found.append(
            (middle.x + shift * right.x, -middle.y - shift * right.y, middle.z + shift * right.z)
        )
    return np.array(found)


def _place(location: Any) -> tuple[float, float, float]:
    return location.x, -location.y, location.z


def _words(enumerated: object) -> str:
    """Return a name of the client's in lower case, "SolidBroken" as "solid_broken"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(enumerated)).lower()


def _outlines(corners: Sequence[tuple[float, float, float]]) -> Iterator[Points]:
    """Yield the outlines in a list in which each ends with its first corner."""
    begin = 0
    for place in range(1, len(corners)):
        if place > begin and np.allclose(corners[place], corners[begin], atol=1e-3):
            if place - begin > 2:
                yield np.array(corners[begin:place])
            begin = place + 1


def _joined(lines: Sequence[LaneLine]) -> tuple[LaneLine, ...]:
    """Return the lines, those of one look that continue each other as one."""
    starts: dict[tuple[str, str, bool], list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        starts[line.kind, line.colour, line.between_directions].append(number)
    after: dict[int, int] = {}
    for numbers in starts.values():
        heads = np.array([lines[number].points[0] for number in numbers])
        for number in numbers:
            tail = lines[number].points[-1]
            near = np.flatnonzero(np.linalg.norm(heads - tail, axis=1) < JOINED_M)
            follows = [
                numbers[place]
                for place in near
                if numbers[place] != number and _straight_on(lines[number], lines[numbers[place]])
            ]
            if len(follows) == 1 and follows[0] not in after.values():
                after[number] = follows[0]
    heads_of_chains = [number for number in range(len(lines)) if number not in after.values()]
    found, used = [], set()
    for number in (*heads_of_chains, *range(len(lines))):  # the rest are circles
        chain = []
        while number not in used:
            used.add(number)
            chain.append(lines[number].points)
            number = after.get(number, number)
        if chain:
            found.append(replace(lines[number], points=np.concatenate(chain)))
    return tuple(found)


def _spaced(points: Points) -> Points:
    """Return a line with points at even distances."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    wanted = np.arange(0.0, along[-1], SPACING_M)
    return np.stack([np.interp(wanted, along, column) for column in points.T], axis=1)


def _straight_on(line: LaneLine, other: LaneLine) -> bool:
    one, two = line.points[-1] - line.points[-2], other.points[1] - other.points[0]
    lengths = np.linalg.norm(one) * np.linalg.norm(two)
    return bool(lengths > 0 and one @ two > JOINED_COS * lengths)
