"""apply_batch: many small commands in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from realmaster_live.bridges.carla.wire import shapes
from realmaster_live.errors import ActorError, BridgeError
from realmaster_live.minitown.models.bodies import WALKER_CENTRE
from realmaster_live.minitown.server import calls_actors as actors
from realmaster_live.minitown.server.calls import Call, pause_for_manager
from realmaster_live.minitown.server.calls_lights import set_state
from realmaster_live.minitown.server.episode import Episode
from realmaster_live.minitown.transforms import Pose

SPAWN, DESTROY = 0, 1
MOST_NESTED = 8  # commands inside commands
MOST_COMMANDS = 8192  # of one batch


def _walker_state(episode: Episode, actor_id: Any, place: Any, speed: Any) -> None:
    """Move a walker to where the client's navigation has its feet, in the next tick."""
    walker = actors.walker_of(episode, actor_id)
    shapes.number(speed, "speed", actors.FASTEST_WALK)
    feet = Pose(*shapes.transform(place))
    walker.guided_to = feet._replace(z=feet.z + WALKER_CENTRE)


def _lights(episode: Episode, actor_id: Any, flags: Any) -> None:
    actors.set_lights(episode, actor_id, [flags])


COMMANDS: Mapping[int, Callable[..., Any]] = {
    2: actors.control_vehicle,
    4: actors.control_walker,
    5: actors.set_physics_control,
    6: actors.set_transform,
    7: _walker_state,
    8: actors.set_velocity,
    9: actors.set_turn_rate,
    10: actors.add_impulse,
    11: actors.add_force,
    14: actors.set_physics,
    15: actors.set_gravity,
    16: actors.set_autopilot,
    18: _lights,
    19: actors.set_location,
    21: set_state,
}
NAMES: Mapping[int, str] = {
    3: "ApplyVehicleAckermannControl",
    12: "ApplyAngularImpulse",
    13: "ApplyTorque",
    17: "ShowDebugTelemetry",
    20: "ConsoleCommand",
}


async def apply_batch(episode: Episode, commands: Any, do_tick: Any = False) -> list[Any]:
    """Run every command in order; one that fails does not stop the others."""
    results = [
        _result(episode, command)
        for command in shapes.array(commands, "commands", at_most=MOST_COMMANDS)
    ]
    if shapes.flag(do_tick, "do tick") and episode.sync:
        await episode.tick()
    await pause_for_manager(episode)
    return results


def _result(episode: Episode, command: Any) -> list[Any]:
    try:
        return [[1, _run(episode, command, 0, 0)]]
    except BridgeError as error:
        return [[0, [str(error)]]]


def _run(episode: Episode, command: Any, spawned: int, depth: int) -> int:
    """Run one command; `spawned` stands in for actor id 0. Returns the actor's id."""
    number, payload = shapes.array(shapes.array(command, "command", 1)[0], "command", 2)[:2]
    kind, items = shapes.whole(number, "command"), shapes.array(payload, "command", 1)
    if kind == SPAWN:
        return _spawn(episode, items, depth)
    actor_id = shapes.whole(items[0], "actor id") or spawned
    if kind == DESTROY:
        if not actors.destroy(episode, actor_id):
            raise ActorError(f"expected a living actor to destroy, got id {actor_id}")
        return actor_id
    if kind not in COMMANDS:
        name = NAMES.get(kind, str(kind))
        raise ActorError(f"the command {name} is not done by minitown: use another")
    try:
        COMMANDS[kind](episode, actor_id, *items[1:])
    except TypeError as error:
        raise ActorError(f"command {kind} got the wrong arguments: {error}") from error
    return actor_id


def _spawn(episode: Episode, items: list[Any], depth: int) -> int:
    """Spawn, then run what is to be done with the new actor."""
    if depth > MOST_NESTED:
        raise ActorError(f"expected at most {MOST_NESTED} commands inside each other")
    layout_items = 6 if episode.layout.spawn_has_socket else 4
    shapes.array(items, "SpawnActor", layout_items)
    parent = shapes.optional(items[2], "parent") or 0
    attachment = items[3] if parent and episode.layout.spawn_has_socket else 0
    actor = actors.spawn(episode, items[0], items[1], parent, attachment)
    for command in shapes.array(items[layout_items - 1], "do after"):
        _run(episode, command, actor.id, depth + 1)
    return actor.id


CALLS: Mapping[str, Call] = {"apply_batch": Call(apply_batch, "raw")}
