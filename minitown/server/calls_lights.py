"""Remote calls about traffic lights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from realmaster_live.bridges.carla.wire import shapes
from realmaster_live.errors import ActorError
from realmaster_live.minitown.models.street import light_head_boxes
from realmaster_live.minitown.server.calls import Call, command, query
from realmaster_live.minitown.server.calls_actors import actor_of
from realmaster_live.minitown.server.episode import Episode
from realmaster_live.minitown.traffic.signals import UNKNOWN, TrafficLight
from realmaster_live.minitown.transforms import Pose, compose


def light_of(episode: Episode, actor_id: Any) -> TrafficLight:
    """Return the traffic light that a call names."""
    actor = actor_of(episode, actor_id)
    if actor.light is None:
        raise ActorError(f"expected a traffic light, got {actor.type_id}: name another actor")
    return actor.light


def set_state(episode: Episode, actor_id: Any, state: Any) -> None:
    """Show a state until the junction's cycle moves on, or for good when it is frozen."""
    number = shapes.whole(state, "light state")
    if not 0 <= number < UNKNOWN:
        raise ActorError(f"expected a light state within 0..{UNKNOWN - 1}, got {number}")
    light_of(episode, actor_id).show(number)


def _set_time(name: str) -> Callable[..., None]:
    def answer(episode: Episode, actor_id: Any, seconds: Any) -> None:
        setattr(light_of(episode, actor_id), name, max(0.0, shapes.number(seconds, name)))

    return answer


def _freeze(episode: Episode, actor_id: Any, frozen: Any) -> None:
    light_of(episode, actor_id).frozen = shapes.flag(frozen, "freeze")


def _group(episode: Episode, actor_id: Any) -> list[int]:
    world = episode.world
    lights = world.signals.group(light_of(episode, actor_id).signal.id)
    return [world.light_actors[light.signal.id] for light in lights]


def _reset_group(episode: Episode, actor_id: Any) -> None:
    signals = episode.world.signals
    signals.cycles[light_of(episode, actor_id).signal.junction].reset()


def _boxes(episode: Episode, actor_id: Any) -> list[Any]:
    light_of(episode, actor_id)
    actor = actor_of(episode, actor_id)
    turn = (actor.pose.pitch, actor.pose.yaw, actor.pose.roll)
    return [
        shapes.box(
            episode.layout,
            compose(actor.pose, Pose(*middle)).location,
            half,
            turn,
            actor.id,
        )
        for middle, half in light_head_boxes()
    ]


CALLS: Mapping[str, Call] = {
    "set_traffic_light_state": command(set_state),
    "set_traffic_light_green_time": command(_set_time("green_s")),
    "set_traffic_light_yellow_time": command(_set_time("yellow_s")),
    "set_traffic_light_red_time": command(_set_time("red_s")),
    "freeze_traffic_light": command(_freeze),
    "freeze_all_traffic_lights": command(
        lambda episode, frozen: episode.world.signals.freeze(shapes.flag(frozen, "freeze"))
    ),
    "reset_all_traffic_lights": command(lambda episode: episode.world.signals.reset()),
    "reset_traffic_light_group": command(_reset_group),
    "get_group_traffic_lights": query(_group),
    "get_light_boxes": query(_boxes),
}
