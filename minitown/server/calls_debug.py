"""Remote calls that query the world by rays, and those whose effects are not drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from realmaster_live.bridges.carla.wire import shapes
from realmaster_live.errors import ActorError
from realmaster_live.minitown.server.calls import Call, command, query
from realmaster_live.minitown.server.calls_actors import vehicle_of
from realmaster_live.minitown.server.episode import Episode
from realmaster_live.minitown.server.rays import Hit, hits
from realmaster_live.minitown.transforms import Vector

DOORS = 7  # CARLA's door numbers 0 to 6


def _hits(episode: Episode, start: Vector, end: Vector) -> list[Hit]:
    return hits(episode.town.triangles, episode.world.actors.values(), start, end)


def _cast_ray(episode: Episode, start: Any, end: Any) -> list[Any]:
    found = _hits(episode, shapes.triple(start, "start"), shapes.triple(end, "end"))
    return [[list(hit.location), hit.label] for hit in found]


def _project_point(episode: Episode, start: Any, direction: Any, distance: Any) -> list[Any]:
    """Return [True, the first hit], or [False, a point of no meaning]."""
    first, towards = shapes.triple(start, "start"), shapes.triple(direction, "direction")
    far = shapes.number(distance, "distance")
    norm = sum(part * part for part in towards) ** 0.5
    if norm == 0.0:
        raise ActorError("expected a direction, got a vector of length 0: give another")
    x, y, z = (at + far * part / norm for at, part in zip(first, towards, strict=True))
    found = _hits(episode, first, (x, y, z))
    if not found:
        return [False, [[0.0, 0.0, 0.0], 0]]
    return [True, [list(found[0].location), found[0].label]]


def _door(episode: Episode, actor_id: Any, door: Any) -> None:
    """Accept a door's opening or closing: the town's vehicles have none that move."""
    vehicle_of(episode, actor_id)
    if not 0 <= shapes.whole(door, "door") < DOORS:
        raise ActorError(f"expected a door within 0..{DOORS - 1}, got {door}: name another")


def _draw(episode: Episode, shape: Any) -> None:
    """Accept a debug shape, which is not drawn."""
    shapes.array(shape, "debug shape", 4)


def _update_lights(episode: Episode, client: Any, lights: Any, discard: Any = False) -> None:
    """Accept the state of the street's lamps, which the sun's height switches here."""
    shapes.array(lights, "lights")


CALLS: Mapping[str, Call] = {
    "cast_ray": query(_cast_ray),
    "project_point": query(_project_point),
    "open_vehicle_door": command(_door),
    "close_vehicle_door": command(_door),
    "draw_debug_shape": command(_draw),
    "update_lights_state": command(_update_lights),
    "update_day_night_cycle": command(lambda episode, client, on: None),
}
