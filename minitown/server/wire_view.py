"""How actors, blueprints and ticks are encoded on the wire."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from realmaster_live.bridges.carla.wire import shapes
from realmaster_live.bridges.carla.wire.episode_state import (
    ActorRecord,
    EpisodeState,
    light_extra,
    pack_episode,
    vehicle_extra,
    walker_extra,
)
from realmaster_live.bridges.carla.wire.layouts import Layout
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.traffic.blueprint_attributes import STRING
from realmaster_live.minitown.traffic.blueprints import LIBRARY, LIGHT, SPECTATOR
from realmaster_live.minitown.traffic.signals import GREEN
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import ZERO, Vector, matrix

UIDS: Mapping[str, int] = {type_id: number for number, type_id in enumerate(LIBRARY, start=1)}
THINGS: Mapping[int, str] = {
    1: "roads", 2: "sidewalks", 3: "buildings", 4: "walls", 5: "fences", 6: "poles",
    7: "trafficlight", 8: "trafficsigns", 9: "vegetation", 10: "terrain", 14: "car", 20: "static",
    24: "roadlines",
}  # fmt: skip
"""CARLA's names of its classes, of those that the town is made of."""
TRIGGER_LENGTH = 2.0  # metres of road before a line, half of what a light's trigger box covers


def definitions(layout: Layout) -> list[Any]:
    """Return the blueprint library: CARLA, too, leaves out what no client spawns."""
    return [
        [
            UIDS[blueprint.id],
            blueprint.id,
            blueprint.tags,
            [
                shapes.attribute_definition(
                    layout, a.id, a.kind, a.value, a.recommended, a.modifiable, a.restricted
                )
                for a in blueprint.attributes
            ],
        ]
        for blueprint in LIBRARY.values()
        if blueprint.id not in (LIGHT, SPECTATOR)
    ]


def actor_array(layout: Layout, world: World, actor: Actor, token: bytes) -> list[Any]:
    """Return the wire's Actor; `token` is empty for what does not stream."""
    kinds = {attribute.id: attribute.kind for attribute in actor.blueprint.attributes}
    values = [(name, kinds.get(name, STRING), held) for name, held in actor.attributes.items()]
    return [
        actor.id,
        actor.parent,
        [UIDS[actor.type_id], actor.type_id, shapes.attribute_values(layout, values)],
        bounding_box(layout, world, actor),
        bytes([actor.semantic]) if actor.semantic else b"",
        token,
    ]


def thing_array(layout: Layout, label: int) -> list[Any]:
    """Return the Actor that stands for a part of the town in events, as CARLA makes it up.

    It has no id and no box; its type names its class.
    """
    kind = f"static.{THINGS.get(label, 'unknown')}"
    return [0, 0, [0, kind, []], shapes.box(layout, ZERO, ZERO), bytes([label]), b""]


def bounding_box(layout: Layout, world: World, actor: Actor) -> list[Any]:
    """Return an actor's box in its own axes; a traffic light's is the road where it holds."""
    if actor.light is not None:
        return _trigger_box(layout, world, actor)
    return shapes.box(layout, actor.box_centre, actor.full_extent, actor=actor.id)


def episode_message(
    layout: Layout, world: World, episode: int, delta_s: float, map_changed: bool
) -> bytes:
    """Return the tick's state message."""
    return pack_episode(
        EpisodeState(
            sensor_type=layout.sensor_ids["world_observer"],
            episode=episode,
            frame=world.frame,
            time_s=world.time_s,
            wall_s=time.time(),
            delta_s=delta_s,
            map_changed=map_changed,
            actors=[_record(world, actor) for actor in world.actors.values()],
        )
    )


def _record(world: World, actor: Actor) -> ActorRecord:
    pose = actor.pose
    return ActorRecord(
        actor.id,
        pose.location,
        (pose.pitch, pose.yaw, pose.roll),
        actor.velocity,
        actor.angular_velocity,
        actor.acceleration,
        _extra(world, actor),
    )


def _extra(world: World, actor: Actor) -> bytes:
    if actor.vehicle is not None:
        signal, limit = world.road_rules(actor)
        light = world.light_actors.get(signal, 0)
        shown = world.signals.state(signal) if light else GREEN
        return vehicle_extra(actor.vehicle.control, limit * 3.6, shown, light)
    if actor.walker is not None:
        return walker_extra(*actor.walker.control)
    if actor.light is not None:
        one = actor.light
        times = (one.green_s, one.yellow_s, one.red_s)
        return light_extra(str(one.signal.id), times, one.elapsed_s, one.frozen, one.state)
    return b""


def _trigger_box(layout: Layout, world: World, actor: Actor) -> list[Any]:
    assert actor.light is not None
    held = [
        track
        for track in world.lane_map.tracks.values()
        if track.lane.signal == actor.light.signal.id
    ]
    if not held:
        return shapes.box(layout, ZERO, actor.extent, actor=actor.id)
    ends = np.array([track.at(track.length - TRIGGER_LENGTH) for track in held])
    middle = np.append(ends[:, :3].mean(axis=0), 1.0)
    x, y, z, _ = np.linalg.inv(matrix(actor.pose)) @ middle
    half_width = sum(track.lane.width for track in held) / 2
    turn = math.degrees(float(ends[0, 3])) - actor.pose.yaw
    extent: Vector = (TRIGGER_LENGTH, half_width, 1.0)
    centre: Vector = (float(x), float(y), float(z) + 1.0)
    return shapes.box(layout, centre, extent, (0.0, turn, 0.0), actor.id)
