"""Lanes as arc lengths: where on which lane a point is, and what lies ahead of it."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.plan.roads import Lane, LaneKey, RoadNetwork

STEP = 1.0  # metres between the points of a resampled lane
CELL = 8.0  # metres of the search grid
LATERAL_ACCEL = 2.0  # m/s^2 a driver of the town takes in a bend


@dataclass(frozen=True)
class LanePlace:
    """A point seen from a lane: metres along it, metres to its right, metres of ground height."""

    key: LaneKey
    s: float
    offset: float
    z: float
    pitch_deg: float
    yaw_deg: float


@dataclass(frozen=True)
class Track:
    """One lane resampled every metre.

    Attributes:
        points: (N, 3) float64 metres. s: (N,) arc lengths. heading: (N,) radians.
        speed: (N,) m/s that the bend and the limit allow.
    """

    lane: Lane
    points: NDArray[np.float64]
    s: NDArray[np.float64]
    heading: NDArray[np.float64]
    speed: NDArray[np.float64]

    @property
    def length(self) -> float:
        """Metres."""
        return float(self.s[-1])

    def at(self, s: float) -> tuple[float, float, float, float]:
        """Return x, y, z in metres and the heading in radians at `s`, clamped to the lane."""
        i = min(max(int(np.searchsorted(self.s, s) - 1), 0), len(self.s) - 2)
        t = (min(max(s, 0.0), self.length) - self.s[i]) / (self.s[i + 1] - self.s[i])
        x, y, z = self.points[i] * (1 - t) + self.points[i + 1] * t
        return float(x), float(y), float(z), float(self.heading[i])


def track(lane: Lane) -> Track:
    """Return the lane resampled, with the speed its bends allow."""
    raw = np.asarray(lane.centre, float)
    steps = np.linalg.norm(np.diff(raw, axis=0), axis=1)
    raw = raw[np.concatenate([[True], steps > 1e-6])]
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(raw, axis=0), axis=1))])
    s = np.linspace(0.0, lengths[-1], max(2, math.ceil(lengths[-1] / STEP) + 1))
    points = np.stack([np.interp(s, lengths, raw[:, k]) for k in range(3)], axis=1)
    heading = np.unwrap(np.arctan2(np.diff(points[:, 1]), np.diff(points[:, 0])))
    heading = np.append(heading, heading[-1])
    bend = np.abs(np.gradient(heading, s)) if len(s) > 2 else np.zeros(len(s))
    bend = np.convolve(np.pad(bend, 2, mode="edge"), np.ones(5) / 5.0, mode="valid")
    speed = np.minimum(lane.speed_limit, np.sqrt(LATERAL_ACCEL / np.maximum(bend, 1e-4)))
    return Track(lane, points, s, heading, speed)


class LaneMap:
    """Every lane of a network, searchable by place."""

    def __init__(self, network: RoadNetwork) -> None:
        self.tracks = {key: track(lane) for key, lane in network.lanes.items()}
        self.predecessors: dict[LaneKey, list[LaneKey]] = defaultdict(list)
        for key, lane in network.lanes.items():
            for after in lane.successors:
                self.predecessors[after].append(key)
        cells: dict[tuple[int, int], list[tuple[LaneKey, int]]] = defaultdict(list)
        for key, one in self.tracks.items():
            for i, (x, y, _) in enumerate(one.points[:-1]):
                cells[(int(x // CELL), int(y // CELL))].append((key, i))
        heights = np.concatenate([one.points[:, 2] for one in self.tracks.values()])
        self.level = float(heights.mean())
        self.flat = bool(np.ptp(heights) < 1e-6)
        self._cells = {cell: _Cell(self.tracks, entries) for cell, entries in cells.items()}

    def places(self, x: float, y: float, within: float = 6.0) -> list[LanePlace]:
        """Return the nearest place on each lane within `within` metres, nearest first."""
        best: dict[LaneKey, tuple[float, LanePlace]] = {}
        cx, cy = int(x // CELL), int(y // CELL)
        for i in range(cx - 1, cx + 2):
            for j in range(cy - 1, cy + 2):
                cell = self._cells.get((i, j))
                if cell is None:
                    continue
                for distance, place in cell.near(x, y, within):
                    if place.key not in best or distance < best[place.key][0]:
                        best[place.key] = (distance, place)
        return [place for _, place in sorted(best.values(), key=lambda one: one[0])]

    def nearest(self, x: float, y: float, yaw_deg: float | None = None) -> LanePlace | None:
        """Return the best place near a point; with a yaw, lanes running that way win."""
        found = self.places(x, y)
        if yaw_deg is None:
            return found[0] if found else None
        along = [p for p in found if math.cos(math.radians(p.yaw_deg - yaw_deg)) > 0.5]
        return along[0] if along else (found[0] if found else None)


class _Cell:
    """The lane segments that start in one square of the grid."""

    def __init__(self, tracks: dict[LaneKey, Track], entries: list[tuple[LaneKey, int]]) -> None:
        self.keys = [key for key, _ in entries]
        self.start = np.array([tracks[key].points[i] for key, i in entries])
        self.step = np.array([tracks[key].points[i + 1] for key, i in entries]) - self.start
        self.s = np.array([tracks[key].s[i] for key, i in entries])
        self.length = np.linalg.norm(self.step[:, :2], axis=1)

    def near(self, x: float, y: float, within: float) -> list[tuple[float, LanePlace]]:
        """Return (distance, place) of every segment within `within` metres."""
        dx, dy = x - self.start[:, 0], y - self.start[:, 1]
        ux, uy = self.step[:, 0] / self.length, self.step[:, 1] / self.length
        along = np.clip(dx * ux + dy * uy, 0.0, self.length)
        distance = np.hypot(dx - along * ux, dy - along * uy)
        side = ux * dy - uy * dx
        found = []
        for k in np.flatnonzero(distance < within):
            rise = float(self.step[k, 2] / self.length[k])
            place = LanePlace(
                self.keys[k],
                float(self.s[k] + along[k]),
                float(math.copysign(distance[k], side[k])),
                float(self.start[k, 2] + rise * along[k]),
                math.degrees(math.atan(rise)),
                math.degrees(math.atan2(uy[k], ux[k])),
            )
            found.append((float(distance[k]), place))
        return found
