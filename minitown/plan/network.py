"""The road network of a town: lanes, lights, spawn points, footpaths, from its plan."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.plan.boxes import Box, overlap
from realmaster_live.minitown.plan.layout import (
    CORNER_TANGENT,
    CROSSING_DEPTH,
    LANE_WIDTH,
    SIDEWALK_WIDTH,
    Arm,
    Junction,
    Layout,
    Street,
    make_layout,
)
from realmaster_live.minitown.plan.opendrive import Connection, opendrive_text
from realmaster_live.minitown.plan.paths import Path, connect
from realmaster_live.minitown.plan.roads import (
    Lane,
    LaneKey,
    RoadNetwork,
    Sign,
    Signal,
    SpawnPoint,
)

FIRST_CONNECTION = 1000  # OpenDRIVE road ids from here on are ways through junctions
TURN_SPEED = 5.5
KERB_CLEARANCE = 0.15  # metres between a turning lane's edge and the rounded kerb
FIRST_SIGN = 1000  # ids below are traffic lights
LIMIT_AFTER, YIELD_BEFORE = 3.0, 1.5  # metres from a street's end to a sign
LARGEST_VEHICLE = (5.3, 1.45)  # half length and half width of any body, metres
SPAWN_GAP, START_GAP = 11.0, 9.0
SPAWN_HEIGHT = 0.3


@lru_cache(maxsize=4)
def make_network(seed: int) -> RoadNetwork:
    """Build the road network of town number `seed`; the same seed gives the same network."""
    layout = make_layout(seed)
    signals, signal_at = _signals(layout)
    connections = _connections(layout)
    lanes = _street_lanes(layout, signal_at)
    for link in connections:
        lanes[link.road, -1] = _connection_lane(link, layout)
        source = lanes[link.source]
        lanes[link.source] = replace(source, successors=(*source.successors, (link.road, -1)))
    name = f"MiniTown{seed:02d}"
    return RoadNetwork(
        seed=seed,
        name=name,
        lanes=lanes,
        signals=signals,
        spawn_points=_spawn_points(lanes),
        starts=tuple(_along_lanes(lanes, START_GAP)),
        footpaths=_footpaths(layout),
        crossings=_crossings(layout),
        opendrive=opendrive_text(name, layout, connections, signals, _signs(layout)),
    )


def arrives(arm: Arm, index: int) -> LaneKey:
    """Return the key of the lane that enters the junction by `arm`; index 1 is next the middle."""
    return arm.street.id, -index if arm.at_end else index


def leaves(arm: Arm, index: int) -> LaneKey:
    """Return the key of the lane that leaves the junction by `arm`."""
    return arm.street.id, index if arm.at_end else -index


def opposite_pairs(junction: Junction) -> tuple[int, ...]:
    """Return each arm's signal phase: arms that face each other share one."""
    headings = [arm.heading for arm in junction.arms]
    phases = [-1] * len(headings)
    phase = 0
    while -1 in phases:
        free = [i for i, value in enumerate(phases) if value < 0]
        pairs = [
            (abs(math.cos(headings[i] - headings[j]) + 1), i, j)
            for i in free
            for j in free
            if i < j
        ]
        bend, first, second = min(pairs, default=(2.0, free[0], free[0]))
        if bend > 0.4:
            second = first = free[0]
        phases[first] = phases[second] = phase
        phase += 1
    return tuple(phases)


def _line(path: Path, right: float) -> NDArray[np.float64]:
    poses = path.offset(right).sample(1.9)
    return np.column_stack([poses[:, :2], np.zeros(len(poses))])


def _street_lanes(layout: Layout, signal_at: dict[tuple[int, bool], int]) -> dict[LaneKey, Lane]:
    lanes = {}
    for street in layout.streets.values():
        for index in range(1, street.lanes + 1):
            right = (index - 0.5) * LANE_WIDTH
            for lane_id, centre in (
                (-index, _line(street.path, right)),
                (index, _line(street.path, -right)[::-1].copy()),
            ):
                lanes[street.id, lane_id] = Lane(
                    key=(street.id, lane_id),
                    centre=centre,
                    width=LANE_WIDTH,
                    successors=(),
                    signal=signal_at.get((street.id, lane_id < 0), 0),
                    speed_limit=street.speed_limit,
                )
    return lanes


def _turn(source: Arm, target: Arm) -> str:
    angle = (target.heading - source.heading - math.pi + math.pi) % (2 * math.pi) - math.pi
    if abs(angle) < math.radians(45):
        return "straight"
    return "right" if angle > 0 else "left"


def _connections(layout: Layout) -> list[Connection]:
    found: list[Connection] = []
    for junction in layout.junctions.values():
        for source in junction.arms:
            for target in junction.arms:
                if source is target:
                    continue
                turn = _turn(source, target)
                for i, j in _lane_pairs(turn, source.street.lanes, target.street.lanes):
                    x0, y0, h0 = source.pose(-(i - 0.5) * LANE_WIDTH)
                    x1, y1, h1 = target.pose((j - 0.5) * LANE_WIDTH)
                    found.append(
                        Connection(
                            road=FIRST_CONNECTION + len(found),
                            junction=junction.id,
                            source=arrives(source, i),
                            source_at_end=source.at_end,
                            target=leaves(target, j),
                            target_at_end=target.at_end,
                            centre=connect(
                                (x0, y0, h0 + math.pi), (x1, y1, h1), _tangent(turn, source, target)
                            ),
                            turn=turn,
                        )
                    )
    return found


def _tangent(turn: str, source: Arm, target: Arm) -> float:
    """Return how long before the corner a right turn may begin so that its lane clears the kerb."""
    if turn != "right":
        return math.inf
    half = (target.heading - source.heading - math.pi) % (2 * math.pi) / 2
    spare = min(source.street.edge_width, target.street.edge_width) - KERB_CLEARANCE
    edge_radius = CORNER_TANGENT / math.tan(half) + spare / (1 - math.cos(half))
    return (edge_radius + LANE_WIDTH / 2) * math.tan(half)


def _lane_pairs(turn: str, count_in: int, count_out: int) -> list[tuple[int, int]]:
    if turn == "straight":
        return [(i, i) for i in range(1, min(count_in, count_out) + 1)]
    own = 1 if turn == "left" else count_in  # into any lane, else some lanes were never reached
    return [(own, j) for j in range(1, count_out + 1)]


def _connection_lane(link: Connection, layout: Layout) -> Lane:
    speed = layout.streets[link.source[0]].speed_limit
    return Lane(
        key=(link.road, -1),
        centre=_line(link.centre, 0.0),
        width=LANE_WIDTH,
        successors=(link.target,),
        junction=link.junction,
        speed_limit=speed if link.turn == "straight" else TURN_SPEED,
        turn=link.turn,
    )


def _signals(layout: Layout) -> tuple[dict[int, Signal], dict[tuple[int, bool], int]]:
    """Return the signals, and the id that stands at (street id, at its end?)."""
    signals: dict[int, Signal] = {}
    signal_at = {}
    for junction in layout.junctions.values():
        for arm, phase in zip(junction.arms, opposite_pairs(junction), strict=True):
            number = len(signals) + 1
            x, y, heading = arm.pose(-(arm.street.half_width + 0.7), outward=-0.3)
            signals[number] = Signal(
                id=number,
                position=(x, y, 0.15),
                yaw_deg=math.degrees(heading) % 360,
                junction=junction.id,
                phase=phase,
            )
            signal_at[arm.street.id, arm.at_end] = number
    return signals, signal_at


def _signs(layout: Layout) -> list[Sign]:
    """Return a limit where each direction of a street begins, and the signs of T junctions.

    These are yield and stop signs in turn.
    """
    signs: list[Sign] = []
    for street in layout.streets.values():
        for backwards in (False, True):
            signs.append(
                Sign(
                    id=FIRST_SIGN + len(signs),
                    road=street.id,
                    s=street.path.length - LIMIT_AFTER if backwards else LIMIT_AFTER,
                    backwards=backwards,
                    speed_limit=street.speed_limit,
                )
            )
    is_stop = False
    for junction in layout.junctions.values():
        phases = opposite_pairs(junction)
        for arm, phase in zip(junction.arms, phases, strict=True):
            if phases.count(phase) == 1:
                length = arm.street.path.length
                signs.append(
                    Sign(
                        id=FIRST_SIGN + len(signs),
                        road=arm.street.id,
                        s=length - YIELD_BEFORE if arm.at_end else YIELD_BEFORE,
                        backwards=not arm.at_end,
                        is_stop=is_stop,
                    )
                )
                is_stop = not is_stop
    return signs


def _along_lanes(lanes: dict[LaneKey, Lane], gap: float) -> Iterator[SpawnPoint]:
    """Yield a place every `gap` metres of each lane outside junctions."""
    for lane in lanes.values():
        if lane.junction >= 0:
            continue
        steps = np.linalg.norm(np.diff(lane.centre[:, :2], axis=0), axis=1)
        s = np.concatenate([[0.0], np.cumsum(steps)])
        for wanted in np.arange(6.0, s[-1] - 8.0, gap):
            around = [wanted - 1.0, wanted, wanted + 1.0]
            x, y = (np.interp(around, s, lane.centre[:, axis]) for axis in (0, 1))
            yield SpawnPoint(
                location=(float(x[1]), float(y[1]), SPAWN_HEIGHT),
                yaw_deg=math.degrees(math.atan2(y[2] - y[0], x[2] - x[0])),
                lane=lane.key,
            )


def _spawn_points(lanes: dict[LaneKey, Lane]) -> tuple[SpawnPoint, ...]:
    """Return places so far apart that the largest vehicle fits in each, all of them taken."""
    points: list[SpawnPoint] = []
    rooms: list[Box] = []
    for point in _along_lanes(lanes, SPAWN_GAP):
        room = Box(*point.location[:2], *LARGEST_VEHICLE, point.yaw_deg)
        if not any(overlap(room, other) for other in rooms):
            rooms.append(room)
            points.append(point)
    return tuple(points)


def _crossings(layout: Layout) -> tuple[tuple[int, NDArray[np.float64]], ...]:
    found: list[tuple[int, NDArray[np.float64]]] = []
    for junction in layout.junctions.values():
        for arm in junction.arms:
            side = arm.street.half_width + SIDEWALK_WIDTH / 2
            ends = [arm.pose(right, outward=-CROSSING_DEPTH / 2)[:2] for right in (-side, side)]
            found.append((junction.id, np.array(ends)))
    return tuple(found)


def block_loops(layout: Layout) -> list[list[tuple[Street, bool]]]:
    """Return each block's streets in order, the block on their right; True: driven backwards."""
    following = {}
    for junction in layout.junctions.values():
        for i, arm in enumerate(junction.arms):
            after = junction.arms[i - 1]
            following[arm.street.id, not arm.at_end] = (after.street, after.at_end)
    loops = []
    left = sorted(following)
    while left:
        loop = []
        key = left[0]
        while key in left:
            left.remove(key)
            loop.append((layout.streets[key[0]], key[1]))
            street, backwards = following[key]
            key = (street.id, backwards)
        loops.append(loop)
    return loops


def _footpaths(layout: Layout) -> tuple[NDArray[np.float64], ...]:
    paths = []
    for loop in block_loops(layout):
        lines = []
        for street, backwards in loop:
            side = street.half_width + SIDEWALK_WIDTH / 2
            poses = street.path.offset(-side if backwards else side).sample(2.0)[:, :2]
            lines.append(poses[::-1] if backwards else poses)
        paths.append(np.concatenate(lines))
    return tuple(paths)
