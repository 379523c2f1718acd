"""Parked cars: only in bays past which the longest and widest vehicle comes on every lane."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.models.bodies import BODIES
from realmaster_live.minitown.models.catalogue import draw_parked
from realmaster_live.minitown.models.ground import place_along
from realmaster_live.minitown.models.materials import PAINTS
from realmaster_live.minitown.models.paint import BAY_M, bays
from realmaster_live.minitown.models.shapes import Builder, frame
from realmaster_live.minitown.plan.boxes import Box, overlap
from realmaster_live.minitown.plan.lanes import track
from realmaster_live.minitown.plan.layout import LANE_WIDTH, Layout
from realmaster_live.minitown.plan.roads import Lane, LaneKey, RoadNetwork

MAX_PARKED = 50
ROOM_M = 0.4  # between a parked car and a vehicle that keeps to the middle of its lane
NAMES = {"hatchback": 0.36, "sedan": 0.3, "suv": 0.22, "van": 0.06, "pickup": 0.06}
WIDEST = max(BODIES.values(), key=lambda body: body.extent[0] * body.extent[1])


def park(
    builder: Builder,
    layout: Layout,
    network: RoadNetwork,
    ids: Iterator[int],
    rng: np.random.Generator,
) -> None:
    """Leave cars in some of the parking bays."""
    taken = DrivenGround(network.lanes)
    places = [(road, start, side) for road in layout.streets.values()
              for start in bays(road) for side in (-1, 1)]  # fmt: skip
    wanted = min(MAX_PARKED, int(0.45 * len(places)))
    for number in rng.permutation(len(places))[:wanted]:
        road, start, side = places[number]
        right = side * (road.lanes * LANE_WIDTH + 1.12 + rng.uniform(-0.06, 0.06))
        s = start + BAY_M / 2 + rng.uniform(-0.2, 0.2)
        pose = place_along(road, s, right, side < 0, 0.0) @ frame(0, 0, float(rng.normal(0, 0.01)))
        name = str(rng.choice(list(NAMES), p=list(NAMES.values())))
        paint = str(rng.choice(list(PAINTS), p=[0.2, 0.19, 0.17, 0.16, 0.1, 0.08, 0.05, 0.05]))
        instance = next(ids)
        yaw_deg = math.degrees(math.atan2(pose[1, 0], pose[0, 0]))
        length, width, _ = BODIES[name].full_extent
        if not taken.touches(Box(pose[0, 3], pose[1, 3], length, width, yaw_deg)):
            draw_parked(builder, name, paint, pose, instance)


class DrivenGround:
    """The ground that the widest vehicle takes on its way along every lane, ROOM_M round it."""

    def __init__(self, lanes: Mapping[LaneKey, Lane]) -> None:
        self._poses = np.concatenate([_along(lane) for lane in lanes.values()])
        self._half = WIDEST.extent[0] + ROOM_M, WIDEST.extent[1] + ROOM_M

    def touches(self, box: Box) -> bool:
        """Return whether a box stands on it."""
        away = np.hypot(self._poses[:, 0] - box.x, self._poses[:, 1] - box.y)
        near = self._poses[away < math.hypot(*self._half) + box.radius]
        return any(overlap(Box(x, y, *self._half, yaw), box) for x, y, yaw in near.tolist())


def _along(lane: Lane) -> NDArray[np.float64]:
    """Return (N, 3) where the vehicle is on a lane, every metre: x, y, and its yaw in degrees.

    Its origin, midway between its axles, keeps to the middle of the lane, so that in a bend of
    curvature k it points outwards from it by asin(k L / 2), L being its wheelbase.
    """
    one = track(lane)
    bend = np.gradient(one.heading, one.s) if len(one.s) > 2 else np.zeros(len(one.s))
    slip = np.arcsin(np.clip(bend * WIDEST.wheelbase / 2, -1, 1))
    return np.column_stack([one.points[:, :2], np.degrees(one.heading - slip)])
