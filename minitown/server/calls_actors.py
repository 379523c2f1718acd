"""Remote calls about actors: make, find, place, drive, light."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from realmaster_live.bridges.carla.wire import shapes
from realmaster_live.errors import ActorError
from realmaster_live.minitown.server.calls import Call, command, query
from realmaster_live.minitown.server.episode import Episode
from realmaster_live.minitown.server.physics_control import physics_control
from realmaster_live.minitown.server.wire_view import bounding_box
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.traffic.vehicle import MAX_SPEED, Vehicle, VehicleControl
from realmaster_live.minitown.traffic.walker import Walker, WalkerControl
from realmaster_live.minitown.transforms import ZERO, Pose, Vector, forward

PHYSICS_FIELDS, MOST_PHYSICS = 17, 1000  # and numbers in all of a physics control
FASTEST = 1e3  # m/s that a client may set
FASTEST_WALK = 50.0
STRONGEST = 1e9  # N or N s
MOST_IDS = 4096  # actors that one call names


def actor_of(episode: Episode, actor_id: Any) -> Actor:
    """Return the actor that a call names."""
    return episode.world.get(shapes.whole(actor_id, "actor id"))


def vehicle_of(episode: Episode, actor_id: Any) -> Vehicle:
    """Return the vehicle that a call names."""
    actor = actor_of(episode, actor_id)
    if actor.vehicle is None:
        raise ActorError(f"expected a vehicle, got {actor.type_id}: name another actor")
    return actor.vehicle


def walker_of(episode: Episode, actor_id: Any) -> Walker:
    """Return the walker that a call names."""
    actor = actor_of(episode, actor_id)
    if actor.walker is None:
        raise ActorError(f"expected a walker, got {actor.type_id}: name another actor")
    return actor.walker


def spawn(
    episode: Episode, description: Any, place: Any, parent: Any = 0, attachment: int = 0
) -> Actor:
    """Make an actor of a wire description; the attachment byte may be noise without a parent."""
    wanted = shapes.description(description)
    pose = Pose(*shapes.transform(place))
    host = shapes.whole(parent, "parent id")
    return episode.spawn(wanted.type_id, pose, wanted.attributes, host, attachment)


def _spawn(episode: Episode, description: Any, place: Any) -> list[Any]:
    return episode.actor_array(spawn(episode, description, place))


def _spawn_on(
    episode: Episode,
    description: Any,
    place: Any,
    parent: Any,
    attachment: Any = 0,
    socket: Any = "",
) -> list[Any]:
    kind = shapes.whole(attachment, "attachment")
    host = actor_of(episode, parent)
    return episode.actor_array(spawn(episode, description, place, host.id, kind))


def destroy(episode: Episode, actor_id: Any) -> bool:
    """Destroy an actor; False when there is none."""
    return episode.destroy(shapes.whole(actor_id, "actor id"))


def _by_id(episode: Episode, ids: Any) -> list[Any]:
    items = shapes.array(ids, "actor ids", at_most=MOST_IDS)
    wanted = dict.fromkeys(shapes.whole(item, "actor id") for item in items)
    actors = episode.world.actors
    return [episode.actor_array(actors[one]) for one in wanted if one in actors]


def _component_names(episode: Episode, actor_id: Any) -> list[str]:
    """Return the one component that each of the town's actors is made of, by Unreal's names."""
    actor = actor_of(episode, actor_id)
    if actor.vehicle is not None:
        return ["VehicleMesh"]
    return ["CharacterMesh0" if actor.walker is not None else "DefaultSceneRoot"]


def set_transform(episode: Episode, actor_id: Any, place: Any) -> None:
    """Put an actor somewhere."""
    pose = Pose(*shapes.transform(place))
    episode.world.set_pose(actor_of(episode, actor_id).id, pose)


def set_location(episode: Episode, actor_id: Any, place: Any) -> None:
    """Put an actor somewhere, turned as it is."""
    actor = actor_of(episode, actor_id)
    x, y, z = shapes.triple(place, "location")
    episode.world.set_pose(actor.id, actor.pose._replace(x=x, y=y, z=z))


def set_physics(episode: Episode, actor_id: Any, on: Any) -> None:
    """Let a body move by itself, or only when it is put somewhere."""
    actor = actor_of(episode, actor_id)
    for body in (actor.vehicle, actor.walker):
        if body is not None:
            body.physics = shapes.flag(on, "simulate physics")


def _set_collisions(episode: Episode, actor_id: Any, on: Any) -> None:
    actor_of(episode, actor_id).collides = shapes.flag(on, "collisions")


def set_gravity(episode: Episode, actor_id: Any, on: Any) -> None:
    """Accept a body's gravity: on this flat ground it changes nothing."""
    actor_of(episode, actor_id)
    shapes.flag(on, "gravity")


def set_velocity(episode: Episode, actor_id: Any, velocity: Any) -> None:
    """Give a vehicle the part of a velocity that lies along it."""
    actor = actor_of(episode, actor_id)
    wanted = shapes.triple(velocity, "velocity", FASTEST)
    if actor.vehicle is not None:
        actor.vehicle.push(actor.pose, wanted)
    actor.velocity = wanted


def set_turn_rate(episode: Episode, actor_id: Any, rate: Any) -> None:
    """Set degrees a second; a vehicle turns as its wheels say from the next tick on."""
    actor_of(episode, actor_id).angular_velocity = shapes.triple(rate, "angular velocity")


def add_impulse(episode: Episode, actor_id: Any, impulse: Any) -> None:
    """Add N s to a vehicle, as far as they lie along it."""
    _push(episode, actor_id, shapes.triple(impulse, "impulse", STRONGEST), 1.0)


def add_force(episode: Episode, actor_id: Any, force: Any) -> None:
    """Add newtons to a vehicle for one tick, as far as they lie along it."""
    _push(episode, actor_id, shapes.triple(force, "force", STRONGEST), episode.delta_s)


def _push(episode: Episode, actor_id: Any, push: Vector, seconds: float) -> None:
    actor, vehicle = actor_of(episode, actor_id), vehicle_of(episode, actor_id)
    fx, fy = forward(actor.pose.yaw)
    speed = vehicle.speed + (push[0] * fx + push[1] * fy) * seconds / vehicle.body.mass
    vehicle.speed = min(max(speed, -MAX_SPEED), MAX_SPEED)


def _hold_velocity(episode: Episode, actor_id: Any, velocity: Any) -> None:
    vehicle_of(episode, actor_id).constant_velocity = shapes.triple(velocity, "velocity", FASTEST)


def _free_velocity(episode: Episode, actor_id: Any) -> None:
    vehicle_of(episode, actor_id).constant_velocity = None


def control_vehicle(episode: Episode, actor_id: Any, control: Any) -> None:
    """Set a vehicle's pedals and wheel."""
    items = shapes.array(control, "vehicle control", 7)
    pedals_and_wheel = (shapes.number(item, "vehicle control") for item in items[:3])
    throttle, steer, brake = (min(max(item, -1.0), 1.0) for item in pedals_and_wheel)
    hand_brake, reverse, manual = (shapes.flag(item, "vehicle control") for item in items[3:6])
    gear = shapes.whole(items[6], "gear")
    if abs(gear) > 100:
        raise ActorError(f"expected a gear within -100..100, got {gear}: set another")
    vehicle_of(episode, actor_id).control = VehicleControl(
        throttle, steer, brake, hand_brake, reverse, manual, gear
    )


def control_walker(episode: Episode, actor_id: Any, control: Any) -> None:
    """Set where a walker goes."""
    direction, speed, jump = shapes.array(control, "walker control", 3)[:3]
    walker_of(episode, actor_id).control = WalkerControl(
        shapes.triple(direction, "direction"),
        shapes.number(speed, "speed", FASTEST_WALK),
        shapes.flag(jump, "jump"),
    )


def set_autopilot(episode: Episode, actor_id: Any, on: Any) -> None:
    """Give a vehicle to the town's own drivers, or take it back."""
    episode.world.set_autopilot(actor_of(episode, actor_id).id, shapes.flag(on, "autopilot"))


def set_lights(episode: Episode, actor_id: Any, state: Any) -> None:
    """Set a vehicle's light flags."""
    flags = shapes.whole(shapes.array(state, "light state", 1)[0], "light flags")
    vehicle_of(episode, actor_id).lights = flags & 0xFFFFFFFF


def _lights(episode: Episode) -> list[list[int]]:
    actors = episode.world.actors.values()
    return [[one.id, one.vehicle.lights] for one in actors if one.vehicle is not None]


def _physics(episode: Episode, actor_id: Any) -> list[Any]:
    vehicle = vehicle_of(episode, actor_id)
    return episode.physics.get(actor_id) or physics_control(vehicle.body)


def set_physics_control(episode: Episode, actor_id: Any, sheet: Any) -> None:
    """Keep a vehicle's physics control for whoever asks; the town drives on its own figures."""
    vehicle_of(episode, actor_id)
    fields = shapes.array(sheet, "physics control", PHYSICS_FIELDS)
    _check_numbers(fields)
    episode.physics[actor_id] = fields


def _check_numbers(fields: list[Any]) -> None:
    """Raise WireFormatError where a physics control holds more than numbers and flags."""
    left = list(fields)
    for _ in range(MOST_PHYSICS):
        if not left:
            return
        item = left.pop()
        if isinstance(item, list):
            left += item[:MOST_PHYSICS]
        elif not isinstance(item, bool):
            shapes.number(item, "physics control", STRONGEST)
    raise ActorError(f"expected at most {MOST_PHYSICS} numbers in a physics control, got more")


def _bounding_box(episode: Episode, actor_id: Any) -> list[Any]:
    """Return an actor's box, and an empty one for a dead actor.

    The Traffic Manager asks in a thread of its own, where an error ends the client's process.
    """
    actor = episode.world.actors.get(shapes.whole(actor_id, "actor id"))
    if actor is None:
        return shapes.box(episode.layout, ZERO, ZERO, actor=0)
    return bounding_box(episode.layout, episode.world, actor)


def _wheel_angle(episode: Episode, actor_id: Any, wheel: Any) -> float:
    vehicle = vehicle_of(episode, actor_id)
    front = shapes.whole(wheel, "wheel") < 2
    return math.degrees(vehicle.wheel_angle) if front else 0.0


CALLS: Mapping[str, Call] = {
    "get_spectator": query(lambda episode: episode.actor_array(episode.world.spectator)),
    "get_actors_by_id": query(_by_id),
    "spawn_actor": query(_spawn),
    "spawn_actor_with_parent": query(_spawn_on),
    "destroy_actor": query(destroy),
    "get_actor_bounding_box": query(_bounding_box),
    "get_actor_component_names": query(_component_names),
    "set_actor_transform": command(set_transform),
    "set_actor_location": command(set_location),
    "set_actor_simulate_physics": command(set_physics),
    "set_actor_collisions": command(_set_collisions),
    "set_actor_enable_gravity": command(set_gravity),
    "set_actor_target_velocity": command(set_velocity),
    "set_actor_target_angular_velocity": command(set_turn_rate),
    "add_actor_impulse": command(add_impulse),
    "add_actor_force": command(add_force),
    "enable_actor_constant_velocity": command(_hold_velocity),
    "disable_actor_constant_velocity": command(_free_velocity),
    "apply_control_to_vehicle": command(control_vehicle),
    "apply_control_to_walker": command(control_walker),
    "set_actor_autopilot": command(set_autopilot),
    "get_physics_control": query(_physics),
    "apply_physics_control": command(set_physics_control),
    "get_vehicle_light_state": query(lambda episode, actor: [vehicle_of(episode, actor).lights]),
    "get_vehicle_light_states": query(_lights),
    "set_vehicle_light_state": command(set_lights),
    "get_wheel_steer_angle": query(_wheel_angle),
}
