"""Right of way: which paths through a junction exclude each other, and who holds them now.

A driver goes into a junction only when it holds its way: no holder or bystander is on a way that
crosses it, nobody walks on a crossing that it passes, and its own exit has room. So whoever is
inside can always leave, and the town never locks up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.plan.lanes import LaneMap
from realmaster_live.minitown.plan.roads import LaneKey, RoadNetwork

CLEARANCE = 2.8  # metres between centre lines below which two paths exclude each other
LONG_CLEARANCE = 6.0  # the same when one of the two vehicles is long: its ends swing out
PATIENCE_S = 4.0  # how long a driver lets crossing traffic go first
CROSSING_REACH = 15.0  # metres of the lanes before and behind a junction whose crossings count


class Claim(NamedTuple):
    """A driver that could go but for the others: its way, and since when, seconds."""

    way: LaneKey
    since_s: float


class Junctions:
    """Holds of every junction lane, and walkers on every crossing."""

    def __init__(self, network: RoadNetwork, lane_map: LaneMap) -> None:
        self.paths = {key for key, lane in network.lanes.items() if lane.junction >= 0}
        crossings_of = _crossings_of(network, lane_map)
        self.along = {way: _along(way, crossings_of, lane_map) for way in self.paths}
        self.paths_over: dict[int, set[LaneKey]] = defaultdict(set)
        for way in self.paths:
            for crossing, _ in self.along[way]:
                self.paths_over[crossing].add(way)
        gaps = _gaps(network, lane_map, self.paths)
        self.conflicts, self.long_conflicts = (
            {
                way: frozenset(w for w, gap in near.items() if gap < least)
                for way, near in gaps.items()
            }
            for least in (CLEARANCE, LONG_CLEARANCE)
        )
        self.long: set[int] = set()
        self.holders: dict[LaneKey, set[int]] = defaultdict(set)
        self.blocked: set[LaneKey] = set()
        self.walking: dict[int, set[int]] = defaultdict(set)
        self.claims: dict[int, Claim] = {}

    def free(self, actor: int, way: LaneKey, since_s: float, now_s: float) -> bool:
        """Return whether nobody else stands in the way of `actor`, at the line since `since_s`.

        Who has waited longer than PATIENCE_S goes before all that came later.
        """
        self.claims[actor] = Claim(way, since_s)
        if any(self.walking[crossing] for crossing, _ in self.along[way]):
            return False
        wide = self.long_conflicts[way]
        conflicts = wide if actor in self.long else self.conflicts[way]
        if any(other in self.blocked or self.holders[other] - {actor} for other in conflicts):
            return False
        if any((self.holders[other] & self.long) - {actor} for other in wide):
            return False
        return not any(
            claim.way in conflicts and claim.since_s < min(since_s, now_s - PATIENCE_S)
            for claim in self.claims.values()
        )

    def forget(self, actor: int) -> None:
        """Drop the claim of a driver that must wait for another reason."""
        self.claims.pop(actor, None)

    def take(self, actor: int, way: LaneKey) -> None:
        """Let `actor` hold the way."""
        self.claims.pop(actor, None)
        self.holders[way].add(actor)

    def leave(self, actor: int, way: LaneKey) -> None:
        """Give the way back."""
        self.holders[way].discard(actor)

    def block(self, paths: Iterable[LaneKey]) -> None:
        """Block the paths on which vehicles are that hold none, for this tick."""
        self.blocked = set(paths)

    def may_walk(self, crossing: int) -> bool:
        """Return whether no vehicle holds, blocks or claims a way over the crossing."""
        paths = self.paths_over[crossing]
        if any(self.holders[way] or way in self.blocked for way in paths):
            return False
        return not any(claim.way in paths for claim in self.claims.values())


def _along(
    way: LaneKey, crossings_of: Mapping[LaneKey, list[tuple[int, float]]], lane_map: LaneMap
) -> tuple[tuple[int, float], ...]:
    """Return (crossing, metres from the way's start) of every crossing near the way."""
    tracks = lane_map.tracks
    found = list(crossings_of.get(way, ()))
    for before in lane_map.predecessors[way]:
        length = tracks[before].length
        found += [
            (crossing, s - length)
            for crossing, s in crossings_of.get(before, ())
            if length - s < CROSSING_REACH
        ]
    for after in tracks[way].lane.successors:
        found += [
            (crossing, s + tracks[way].length)
            for crossing, s in crossings_of.get(after, ())
            if s < CROSSING_REACH
        ]
    return tuple(found)


def _crossings_of(
    network: RoadNetwork, lane_map: LaneMap
) -> dict[LaneKey, list[tuple[int, float]]]:
    found: dict[LaneKey, list[tuple[int, float]]] = defaultdict(list)
    for key, one in lane_map.tracks.items():
        low, high = one.points[:, :2].min(axis=0) - 1.0, one.points[:, :2].max(axis=0) + 1.0
        for crossing, (_, ends) in enumerate(network.crossings):
            if (ends.max(axis=0) < low).any() or (ends.min(axis=0) > high).any():
                continue
            hit = _meeting(one.points[:, :2], ends)
            if hit is not None:
                found[key].append((crossing, float(np.interp(hit, range(len(one.s)), one.s))))
    return found


def _meeting(points: NDArray[np.float64], ends: NDArray[np.float64]) -> float | None:
    """Return the fractional index where a polyline crosses the segment `ends`, or None."""
    along = ends[1] - ends[0]
    normal = np.array([-along[1], along[0]])
    side = (points - ends[0]) @ normal
    share = (points - ends[0]) @ along / (along @ along)
    for i in np.flatnonzero(side[:-1] * side[1:] <= 0.0):
        if side[i] == side[i + 1]:
            continue
        t = side[i] / (side[i] - side[i + 1])
        if 0.0 <= share[i] * (1 - t) + share[i + 1] * t <= 1.0:
            return float(i + t)
    return None


def _gaps(
    network: RoadNetwork, lane_map: LaneMap, paths: set[LaneKey]
) -> dict[LaneKey, dict[LaneKey, float]]:
    """Return for each way its distance, metres, to every other way of its junction.

    Ways that start at the same lane are left out: there one car simply follows another.
    """
    found: dict[LaneKey, dict[LaneKey, float]] = {way: {} for way in sorted(paths)}
    for a in paths:
        for b in paths:
            if a >= b or network.lanes[a].junction != network.lanes[b].junction:
                continue
            if set(lane_map.predecessors[a]) & set(lane_map.predecessors[b]):
                continue
            pa, pb = lane_map.tracks[a].points[:, :2], lane_map.tracks[b].points[:, :2]
            gap = float(np.linalg.norm(pa[:, None] - pb[None], axis=2).min())
            found[a][b] = found[b][a] = gap
    return found
