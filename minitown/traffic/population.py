"""Ambient traffic: puts vehicles and walkers into a world until it is as busy as asked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from realmaster_live.minitown.models.bodies import BODIES, WALKER_CENTRE
from realmaster_live.minitown.plan.boxes import box_of, overlap
from realmaster_live.minitown.plan.lanes import LaneMap
from realmaster_live.minitown.traffic.blueprint_ids import AMBIENT_VEHICLES, AMBIENT_WALKERS
from realmaster_live.minitown.traffic.blueprints import COLORS
from realmaster_live.minitown.traffic.walker import Stroller
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import Pose

MODEL_SHARES = {
    "sedan": 0.27, "hatchback": 0.24, "suv": 0.18, "van": 0.08, "pickup": 0.07, "truck": 0.03,
    "bus": 0.03, "motorcycle": 0.05, "bicycle": 0.05,
}  # fmt: skip
MANY_TWO_WHEELERS = MODEL_SHARES | {"motorcycle": 0.3, "bicycle": 0.3}
SPAWN_GAP_M = 3.0  # kept free before and behind an ambient vehicle when it is spawned


def populate(
    world: World,
    vehicles: int,
    walkers: int,
    seed: int,
    model_shares: Mapping[str, float] = MODEL_SHARES,
) -> tuple[list[int], list[int]]:
    """Spawn up to these numbers of vehicles and walkers, as room allows; return their ids.

    `model_shares` says how often each model of vehicle is drawn, of any sum.
    """
    rng = np.random.default_rng([world.network.seed, seed, 2])
    placed = _spawn_vehicles(world, vehicles, rng, model_shares)
    return placed, _spawn_walkers(world, walkers, rng)


def _spawn_vehicles(
    world: World, count: int, rng: np.random.Generator, model_shares: Mapping[str, float]
) -> list[int]:
    by_model: dict[str, list[str]] = {}
    for type_id, model in AMBIENT_VEHICLES.items():
        by_model.setdefault(model, []).append(type_id)
    models, shares = list(model_shares), np.array(list(model_shares.values()))
    points = world.network.starts
    placed: list[int] = []
    for n in rng.permutation(len(points)):
        if len(placed) >= count:
            break
        model = str(rng.choice(models, p=shares / shares.sum()))
        type_id = str(rng.choice(by_model[model]))
        x, y, _ = points[n].location
        pose = Pose(x, y, world.lane_map.level, yaw=points[n].yaw_deg)
        half = BODIES[model].extent
        if points[n].lane not in world.traffic.lanes_for(half[0]):
            continue
        room = box_of(pose, (half[0] + SPAWN_GAP_M, half[1] + 0.2, half[2]))
        if any(actor.moves and overlap(room, actor.box) for actor in world.actors.values()):
            continue
        if not _clear_of_junctions(world.lane_map, pose, half[0]):
            continue
        paint = str(rng.choice(COLORS))
        actor = world.spawn(type_id, pose, attributes={"color": paint})
        world.set_autopilot(actor.id, True)
        placed.append(actor.id)
    return placed


def _clear_of_junctions(lane_map: LaneMap, pose: Pose, half_length: float) -> bool:
    """Return whether a vehicle at `pose` stands whole on its lane, clear of both its ends."""
    place = lane_map.nearest(pose.x, pose.y, pose.yaw)
    if place is None:
        return False
    return half_length + 1.0 < place.s < lane_map.tracks[place.key].length - half_length - 1


def _spawn_walkers(world: World, count: int, rng: np.random.Generator) -> list[int]:
    paths = world.crowd.paths
    placed: list[int] = []
    types = list(AMBIENT_WALKERS)
    lengths = np.array([path.length for path in paths.paths])
    for _ in range(count if len(lengths) else 0):
        path = int(rng.choice(len(lengths), p=lengths / lengths.sum()))
        way = 1 if rng.random() < 0.5 else -1
        stroller = Stroller(
            actor=0,
            path=path,
            s=float(rng.uniform(0.0, lengths[path])),
            way=way,
            side=float(rng.uniform(0.15, 0.9)),
            speed=float(rng.uniform(1.0, 1.7)),
            rng=np.random.default_rng([int(rng.integers(2**31)), len(placed)]),
        )
        x, y, ground = stroller.target(paths)
        pose = Pose(x, y, ground + WALKER_CENTRE)
        actor = world.spawn_free(str(rng.choice(types)), pose)
        if actor is None:
            continue
        stroller.actor = actor.id
        world.crowd.strollers[actor.id] = stroller
        placed.append(actor.id)
    return placed
