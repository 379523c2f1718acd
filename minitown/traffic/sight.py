"""What a driver sees: its path metre by metre, and what stands or moves in it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.plan.lanes import LaneMap
from realmaster_live.minitown.plan.roads import LaneKey
from realmaster_live.minitown.traffic.actors import Actor

Floats = NDArray[np.float64]
BEHIND = 6.0  # metres of path kept behind the vehicle's middle
CAR_MARGIN, WALKER_MARGIN = 0.3, 0.45  # metres added to half a vehicle's own width
REACH = 1.2  # metres along the path within which a point belongs to the nearest path point


@dataclass(frozen=True)
class Path:
    """A driver's way ahead.

    Attributes:
        points: (N, 2) metres. heading: (N,) radians. speed: (N,) m/s that bend and limit allow.
        along: (N,) metres from the vehicle's middle, the first few behind it.
    """

    points: Floats
    heading: Floats
    speed: Floats
    along: Floats


@dataclass(frozen=True)
class Scene:
    """All bodies of a tick, as arrays over their outline points.

    Attributes:
        outline: (P, 2) metres. owner: (P,) actor ids. margin: (P,) metres.
        lanes: lane of every actor that the town's own driver drives. speed: (vx, vy) m/s by actor.
    """

    outline: Floats
    owner: NDArray[np.int64]
    margin: Floats
    lanes: Mapping[int, LaneKey]
    speed: Mapping[int, tuple[float, float]]


def path_ahead(lane_map: LaneMap, route: Sequence[LaneKey], s: float, sight: float) -> Path | None:
    """Return the path along a route from `s` on its first lane; None at a dead end."""
    points, headings, speeds, along = [], [], [], []
    offset = -s
    for key in route:
        one = lane_map.tracks[key]
        low, high = np.searchsorted(one.s, (-offset - BEHIND, sight - offset))
        points.append(one.points[low:high, :2])
        headings.append(one.heading[low:high])
        speeds.append(one.speed[low:high])
        along.append(one.s[low:high] + offset)
        offset += one.length
        if offset > sight:
            break
    path = Path(*(np.concatenate(parts) for parts in (points, headings, speeds, along)))
    return path if len(path.along) > 1 and path.along[-1] > 0.0 else None


def look(bodies: Iterable[Actor], lanes: Mapping[int, LaneKey]) -> Scene:
    """Return the scene of all bodies."""
    outlines, owners, margins = [np.zeros((0, 2))], [], []
    speed = {}
    for actor in bodies:
        outline = np.array([actor.pose[:2]]) if actor.walker else actor.box.outline()
        outlines.append(outline)
        owners += [actor.id] * len(outline)
        margins += [WALKER_MARGIN if actor.walker else CAR_MARGIN] * len(outline)
        speed[actor.id] = actor.velocity[:2]
    owner = np.array(owners, np.int64)
    return Scene(np.concatenate(outlines), owner, np.array(margins), lanes, speed)


def leader(
    actor: Actor, path: Path, scene: Scene, followed: Collection[LaneKey]
) -> tuple[float, float]:
    """Return metres from the bumper to the first thing in the path, and its m/s along it.

    Of the town's own drivers only those on a lane of `followed` count: right of way keeps the
    others out of the path. With nothing ahead the distance is infinite.
    """
    reach = float(path.along[-1]) + 4.0
    delta = np.abs(scene.outline - (actor.pose.x, actor.pose.y))
    near = np.flatnonzero((delta < reach).all(axis=1) & (scene.owner != actor.id))
    lanes = [scene.lanes.get(owner) for owner in scene.owner[near].tolist()]
    near = near[[lane is None or lane in followed for lane in lanes]]
    front = path.along > actor.extent[0] - 1.0
    if not len(near) or not front.any():
        return math.inf, 0.0
    points, line, turned = scene.outline[near], path.points[front], path.heading[front]
    dx = points[:, None, 0] - line[None, :, 0]
    dy = points[:, None, 1] - line[None, :, 1]
    nearest = (dx * dx + dy * dy).argmin(axis=1)
    rows = np.arange(len(points))
    cos, sin = np.cos(turned[nearest]), np.sin(turned[nearest])
    side = np.abs(dy[rows, nearest] * cos - dx[rows, nearest] * sin)
    more = dx[rows, nearest] * cos + dy[rows, nearest] * sin
    hits = np.flatnonzero((side < actor.extent[1] + scene.margin[near]) & (np.abs(more) < REACH))
    if not len(hits):
        return math.inf, 0.0
    distance = path.along[front][nearest[hits]] + more[hits] - actor.extent[0]
    first = int(distance.argmin())
    vx, vy = scene.speed[int(scene.owner[near[hits[first]]])]
    return float(distance[first]), float(vx * cos[hits[first]] + vy * sin[hits[first]])
