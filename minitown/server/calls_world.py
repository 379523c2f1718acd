"""Remote calls about the server, the map, the episode and its clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from realmaster_live.bridges.carla.wire import shapes
from realmaster_live.bridges.carla.wire.message_scanner import MAX_MESSAGE
from realmaster_live.errors import ActorError
from realmaster_live.minitown.models.objects import EnvironmentObject
from realmaster_live.minitown.scene import Weather
from realmaster_live.minitown.server.calls import (
    CONNECTION,
    PEER,
    Call,
    command,
    pause_for_manager,
    query,
)
from realmaster_live.minitown.server.episode import STATE_STREAM, Episode, TrafficManager
from realmaster_live.minitown.server.sensors import GRAVITY
from realmaster_live.minitown.server.towns import OPTIMISED, listed_maps, map_of_opendrive
from realmaster_live.minitown.server.wire_view import definitions
from realmaster_live.minitown.traffic.settings import Settings

WEATHER = tuple(Weather.__dataclass_fields__)
MOST_MANAGERS = 64
ANY_LABEL = (0, 255)  # CARLA's labels that ask for everything: None and Any
PRESET = 10  # weather parameters, from the first, that are -1 where the map's own is asked for
NAVIGATION = "Nav"  # the folder of navigation meshes
SETTINGS = tuple(Settings.__dataclass_fields__)


def _version(episode: Episode) -> str:
    return episode.layout.version


def _episode_info(episode: Episode) -> list[Any]:
    episode.hub.keep(STATE_STREAM)
    return [episode.id, [episode.token(STATE_STREAM)]]


def _sensor_token(episode: Episode, stream: Any) -> list[bytes]:
    number = shapes.whole(stream, "stream id")
    if number not in episode.hub:
        raise ActorError(f"expected an open stream, got {number}: its sensor was destroyed")
    episode.hub.expect(number)
    return [episode.token(number)]


def _settings(episode: Episode) -> list[Any]:
    return episode.world.settings.to_wire()


def _set_settings(episode: Episode, values: Any) -> int:
    given = shapes.array(values, "episode settings", len(SETTINGS))[: len(SETTINGS)]
    for name, item in zip(SETTINGS, given, strict=True):
        if name == "fixed_delta_seconds":
            held = shapes.optional(item, name)
            if held is not None:
                shapes.number(held, name)
        elif isinstance(getattr(episode.world.settings, name), bool):
            shapes.flag(item, name)
        else:
            shapes.number(item, name)
    try:
        return episode.set_settings(Settings.from_wire(given))
    except ValueError as error:
        raise ActorError(str(error)) from error


def _map_info(episode: Episode) -> list[Any]:
    points = [
        [list(point.location), [0.0, point.yaw_deg, 0.0]]
        for point in episode.town.network.spawn_points
    ]
    return [episode.town.map_name, points]


def _required_files(episode: Episode, folder: Any = "") -> list[str]:
    """Return the files that a client downloads before it moves walkers; the rest has its calls."""
    return [episode.town.navigation.name] if shapes.text(folder, "folder") == NAVIGATION else []


def _file(episode: Episode, name: Any) -> bytes:
    wanted = shapes.text(name, "file name")
    if wanted != episode.town.navigation.name:
        raise ActorError(
            f"expected {episode.town.navigation.name}, the only file of a town, got "
            f"{wanted[:80]!r}: ask for one of get_required_files"
        )
    return episode.town.navigation.content


def _load(episode: Episode, name: Any, reset: Any = True, layers: Any = 0) -> Any:
    return episode.load(shapes.text(name, "map name"), shapes.flag(reset, "reset settings"))


async def _tick(episode: Episode) -> int:
    if not episode.sync:
        return episode.world.frame + 1
    frame = await episode.tick()
    await pause_for_manager(episode)
    return frame


def _take_opendrive(episode: Episode, text: Any, parameters: Any = None) -> None:
    """Take the OpenDRIVE that the client loads next, by the name of `OPENDRIVE_MAP`."""
    episode.sent_map = map_of_opendrive(shapes.text(text, "OpenDRIVE", MAX_MESSAGE))


def _weather(episode: Episode) -> list[float]:
    return [getattr(episode.world.weather, name) for name in WEATHER]


def _set_weather(episode: Episode, values: Any) -> None:
    given = shapes.array(values, "weather", len(WEATHER))
    numbers = [shapes.number(item, "weather") for item in given[: len(WEATHER)]]
    weather = dict(zip(WEATHER, numbers, strict=True))
    if all(number == -1.0 for number in numbers[:PRESET]):  # the client's preset "Default"
        episode.world.weather = Weather()
        return
    weather = {name: min(max(one, _least(name)), _most(name)) for name, one in weather.items()}
    episode.world.weather = Weather(**weather)


def _map_layer(episode: Episode, layers: Any) -> None:
    """Accept what changes nothing: as in CARLA, only maps of a name with "_Opt" have layers."""
    shapes.whole(layers, "layers")
    if episode.town.name.endswith(OPTIMISED):
        raise ActorError(
            f"expected no layers of {episode.town.name} to be loaded or unloaded, got a call for "
            "them, which minitown does not do: use a full CARLA server for it"
        )


def _least(name: str) -> float:
    return {"sun_azimuth_angle": -math.inf, "sun_altitude_angle": -90.0}.get(name, 0.0)


def _most(name: str) -> float:
    """Return the largest value of a weather parameter; most are percentages."""
    limits = {"sun_azimuth_angle": math.inf, "sun_altitude_angle": 90.0, "fog_distance": math.inf}
    return limits.get(name, 100.0)


def _objects(episode: Episode, label: Any) -> list[EnvironmentObject]:
    wanted = shapes.whole(label, "label")
    return [one for one in episode.town.things if wanted in (*ANY_LABEL, one.label)]


def _environment_objects(episode: Episode, label: Any) -> list[Any]:
    return [
        [
            shapes.place((*one.centre, 0.0, one.yaw_deg, 0.0)),
            _box(episode, one),
            one.id,
            one.name,
            one.label,
        ]
        for one in _objects(episode, label)
    ]


def _level_boxes(episode: Episode, label: Any) -> list[Any]:
    return [_box(episode, one) for one in _objects(episode, label)]


def _box(episode: Episode, one: EnvironmentObject) -> list[Any]:
    return shapes.box(episode.layout, one.centre, one.extent, (0.0, one.yaw_deg, 0.0))


def _manager(info: Any) -> tuple[str, int]:
    address, port = shapes.array(info, "traffic manager", 2)[:2]
    return shapes.text(address, "address"), shapes.whole(port, "port")


def _add_manager(episode: Episode, info: Any) -> bool:
    address, port = _manager(info)
    if port in episode.traffic_managers or len(episode.traffic_managers) >= MOST_MANAGERS:
        return False
    episode.traffic_managers[port] = TrafficManager(address, CONNECTION.get(), PEER.get())
    return True


def _manager_of(episode: Episode, port: Any) -> list[Any]:
    number = shapes.whole(port, "port")
    held = episode.traffic_managers.get(number)
    return [held.address, number] if held else ["", 0]


def _remove_manager(episode: Episode, port: Any) -> bool:
    return episode.traffic_managers.pop(shapes.whole(port, "port"), None) is not None


CALLS: Mapping[str, Call] = {
    "version": query(_version),
    "get_episode_info": query(_episode_info),
    "get_sensor_token": query(_sensor_token),
    "get_episode_settings": query(_settings),
    "set_episode_settings": query(_set_settings),
    "get_required_files": query(_required_files),
    "request_file": query(_file),
    "get_navigation_mesh": query(lambda episode: episode.town.navigation.content),
    "get_map_info": query(_map_info),
    "get_map_data": query(lambda episode: episode.town.network.opendrive),
    "get_available_maps": query(lambda episode: listed_maps(episode.town.name)),
    "load_new_episode": command(_load),
    "copy_opendrive_to_file": command(_take_opendrive),
    "tick_cue": query(_tick),
    "get_actor_definitions": query(lambda episode: definitions(episode.layout)),
    "get_weather_parameters": query(_weather),
    "set_weather_parameters": command(_set_weather),
    "load_map_layer": command(_map_layer),
    "unload_map_layer": command(_map_layer),
    "get_imui_gravity": query(lambda episode: GRAVITY),
    "query_lights_state": query(lambda episode, client: []),
    "get_environment_objects": query(_environment_objects),
    "get_all_level_BBs": query(_level_boxes),
    "get_names_of_all_objects": query(lambda episode: [o.name for o in _objects(episode, 0)]),
    "is_traffic_manager_running": query(
        lambda episode, port: shapes.whole(port, "port") in episode.traffic_managers
    ),
    "get_traffic_manager_running": query(_manager_of),
    "add_traffic_manager_running": query(_add_manager),
    "destroy_traffic_manager": query(_remove_manager),
    "is_sensor_enabled_for_ros": query(lambda episode, stream: False),
}
