"""The world of one drive: a town that belongs to us, its weather, its traffic and the vehicle.

minitown is started anew for each drive. On a CARLA server the map is loaded, traffic is spawned and
driven by a Traffic Manager of this process, and all of it is destroyed afterwards.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from realmaster_live.collect.recipe import TOWN, PlannedDrive, Recipe, Time
from realmaster_live.demo.local_town import CARS, local_town
from realmaster_live.errors import BridgeError, ConfigError
from realmaster_live.optional import require

log = logging.getLogger(__name__)

TIMEOUT_S = 20.0
SUN_DEG: dict[Time, float] = {"day": 50.0, "dusk": 4.0, "night": -30.0}  # above the horizon
WALKING = 1.4  # m/s
ABOVE_M = 0.5  # the ground, so that a vehicle does not spawn in it
TRIES = 20  # places for a vehicle, 4 m apart
TRIES_APART_M = 4.0


class Stage(NamedTuple):
    """Where the drive takes place.

    Attributes:
        host, port: of the server.
        ego: actor id of the vehicle that carries the cameras.
        controllers: actor ids of the walkers' controllers, which `send_walkers` starts.
    """

    host: str
    port: int
    ego: int
    controllers: tuple[int, ...] = ()


@contextlib.contextmanager
def set_stage(recipe: Recipe, drive: PlannedDrive) -> Iterator[Stage]:
    """Prepare the world of a drive, and clear it afterwards.

    Raises:
        ConnectError: no server answers.
        ConfigError: it has no such town, weather or place.
        BridgeError: it does not do what it is asked for.
    """
    with contextlib.ExitStack() as stack:
        if recipe.address is None:
            found = TOWN.fullmatch(drive.town)
            assert found is not None  # read_recipe
            host, port = (
                "127.0.0.1",
                stack.enter_context(
                    local_town(seed=int(found[1]), vehicles=recipe.vehicles, walkers=recipe.walkers)
                ),
            )
        else:
            host, port = recipe.address
        from realmaster_live.bridges.carla.connection import connect, open_world

        carla, client, _ = connect(host, port, TIMEOUT_S)
        try:
            if recipe.address is not None:
                _load_map(client, drive.town, recipe.load_s)
            world = open_world(client, host, port, TIMEOUT_S)
            world.set_weather(weather_of(carla, drive.weather, drive.time))
            draw = random.Random(drive.seed)
            if recipe.address is not None:
                manager = stack.enter_context(_manager(client, drive.seed))
                controllers = stack.enter_context(
                    _traffic(carla, client, world, recipe, manager, draw)
                )
                ego = stack.enter_context(_spawned(carla, client, world, drive, draw))
                if drive.route is None:
                    ego.set_autopilot(True, manager.get_port())
                yield Stage(host, port, ego.id, tuple(controllers))
            elif drive.route is None:
                yield Stage(host, port, _driving(world, draw).id)
            else:
                ego = stack.enter_context(_spawned(carla, client, world, drive, draw))
                yield Stage(host, port, ego.id)
        except RuntimeError as error:  # of the client
            raise BridgeError(
                f"expected the server at {host}:{port} to prepare {drive.name}, got {error}: see "
                "its own log, and run the command again"
            ) from error


def send_walkers(world: Any, stage: Stage, seed: int) -> None:
    """Let the walkers walk somewhere.

    A client moves the walkers whose controllers it started when it ticks: `world` is that of the
    client that does.
    """
    if not stage.controllers:
        return
    world.set_pedestrians_seed(seed)
    for controller in world.get_actors(list(stage.controllers)):
        controller.start()
        goal = world.get_random_location_from_navigation()
        if goal is not None:
            controller.go_to_location(goal)
            controller.set_max_speed(WALKING)


def check_names(recipe: Recipe, drives: Sequence[PlannedDrive]) -> None:
    """Refuse weathers, and maps of a CARLA server, that are none, before the first drive.

    Raises:
        ConnectError: the server does not answer.
        ConfigError: one is unknown; the message lists those there are.
    """
    carla = require("carla", extra="carla")
    for preset in {drive.weather for drive in drives}:
        weather_of(carla, preset, None)
    if recipe.address is None or not drives:
        return
    from realmaster_live.bridges.carla.connection import connect

    _, client, _ = connect(*recipe.address, TIMEOUT_S)
    maps = sorted({name.rpartition("/")[2] for name in client.get_available_maps()})
    for town in (drive.town for drive in drives):
        if town not in maps:
            raise ConfigError(
                f"expected a town among {', '.join(maps)}, which the server has, got {town!r}: "
                "correct it in the recipe"
            )


def _load_map(client: Any, town: str, within_s: float) -> None:
    client.set_timeout(within_s)
    try:
        client.load_world(town)
    except RuntimeError as error:
        raise BridgeError(
            f"expected the server to load {town} within {within_s:g} s, got {error}: raise load_s "
            "in the recipe if it is slow, and else see its own log"
        ) from error
    client.set_timeout(TIMEOUT_S)


def weather_of(carla: Any, preset: str, time: Time | None) -> Any:
    """Return CARLA's weather parameters of a preset, with the sun where the time of day has it.

    Raises:
        ConfigError: there is no such preset.
    """
    kind = carla.WeatherParameters
    presets = sorted(name for name in vars(kind) if isinstance(getattr(kind, name), kind))
    if preset not in presets:
        raise ConfigError(
            f"expected a weather among {', '.join(presets)}, got {preset!r}: correct it in the "
            "recipe"
        )
    found = getattr(kind, preset)
    weather = kind(**{name: getattr(found, name) for name in PARAMETERS})  # presets are shared
    if time is not None:
        weather.sun_altitude_angle = SUN_DEG[time]
    return weather


PARAMETERS = (
    "cloudiness",
    "precipitation",
    "precipitation_deposits",
    "wind_intensity",
    "sun_azimuth_angle",
    "sun_altitude_angle",
    "fog_density",
    "fog_distance",
    "wetness",
    "fog_falloff",
    "scattering_intensity",
    "mie_scattering_scale",
    "rayleigh_scattering_scale",
    "dust_storm",
)


def _driving(world: Any, draw: random.Random) -> Any:
    """Return a car that minitown drives."""
    world.wait_for_tick(TIMEOUT_S)
    vehicles = sorted(world.get_actors().filter("vehicle.*"), key=lambda actor: actor.id)
    cars = [one for one in vehicles if any(maker in one.type_id for maker in CARS)]
    if not cars:
        raise ConfigError(
            f"expected a car to carry the cameras, got {len(vehicles)} other vehicles: raise "
            "vehicles in the recipe, or give routes"
        )
    return draw.choice(cars)


@contextlib.contextmanager
def _spawned(
    carla: Any, client: Any, world: Any, drive: PlannedDrive, draw: random.Random
) -> Iterator[Any]:
    """Spawn the vehicle at the beginning of the route, or anywhere; destroy it afterwards."""
    from realmaster_live.bridges.carla.route_plan import lane_at, places_of

    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    blueprint.set_attribute("role_name", "hero")
    carla_map = world.get_map()
    if drive.route is None:
        places = carla_map.get_spawn_points()
        draw.shuffle(places)
    else:
        lane = lane_at(carla, carla_map, *places_of(drive.route, carla_map)[0])
        lanes = [lane, *(one for k in range(1, TRIES) for one in lane.next(k * TRIES_APART_M)[:1])]
        places = [one.transform for one in lanes]
        for place in places:
            place.location.z += ABOVE_M
    spawned = (world.try_spawn_actor(blueprint, place) for place in places[:TRIES])
    ego = next((actor for actor in spawned if actor is not None), None)
    if ego is None:
        raise BridgeError(
            f"expected a free place for the vehicle of {drive.name}, got none among "
            f"{len(places[:TRIES])}: lower vehicles in the recipe, or begin the route elsewhere"
        )
    try:
        world.wait_for_tick(TIMEOUT_S)
        yield ego
    finally:
        _destroy(carla, client, [ego.id])


@contextlib.contextmanager
def _manager(client: Any, seed: int) -> Iterator[Any]:
    """Give a Traffic Manager of this process that steps with the world."""
    manager = client.get_trafficmanager(0)
    manager.set_random_device_seed(seed)
    manager.set_synchronous_mode(True)  # the bridge ticks, before and after it nobody does
    try:
        yield manager
    finally:
        with contextlib.suppress(RuntimeError):
            manager.set_synchronous_mode(False)
            manager.shut_down()


@contextlib.contextmanager
def _traffic(
    carla: Any, client: Any, world: Any, recipe: Recipe, manager: Any, draw: random.Random
) -> Iterator[list[int]]:
    """Spawn vehicles and walkers, as many as find a place, and give the ids of controllers.

    All of them are destroyed afterwards.
    """
    commands = carla.command
    library = world.get_blueprint_library()
    cars = [one for one in library.filter("vehicle.*") if _wheels(one) == 4]
    places = world.get_map().get_spawn_points()
    draw.shuffle(places)
    vehicles = [
        commands.SpawnActor(draw.choice(cars), place).then(
            commands.SetAutopilot(commands.FutureActor, True, manager.get_port())
        )
        for place in places[: recipe.vehicles]
    ]
    world.set_pedestrians_seed(draw.randrange(2**31))
    grounds = [world.get_random_location_from_navigation() for _ in range(recipe.walkers)]
    people = list(library.filter("walker.pedestrian.*"))
    walkers = [
        commands.SpawnActor(draw.choice(people), carla.Transform(place))
        for place in grounds
        if place is not None
    ]
    ids: list[int] = []
    controllers: list[int] = []
    try:
        ids += _applied(client, vehicles)
        people_ids = _applied(client, walkers)
        ids += people_ids
        mind = library.find("controller.ai.walker")
        controllers += _applied(
            client, [commands.SpawnActor(mind, carla.Transform(), one) for one in people_ids]
        )
        world.wait_for_tick(TIMEOUT_S)
        log.info("%d vehicles and %d walkers", len(ids) - len(people_ids), len(people_ids))
        yield controllers
    finally:
        _destroy(carla, client, [*controllers, *ids])


def _wheels(blueprint: Any) -> int:
    return int(blueprint.get_attribute("number_of_wheels"))


def _applied(client: Any, commands: list[Any]) -> list[int]:
    """Return the ids of what was spawned; what found no place is left out."""
    answers = client.apply_batch_sync(commands, False) if commands else []
    return [one.actor_id for one in answers if not one.error]


def _destroy(carla: Any, client: Any, ids: list[int]) -> None:
    try:
        client.apply_batch_sync([carla.command.DestroyActor(one) for one in ids], False)
    except RuntimeError as error:  # the server is gone, and they with it
        log.debug("not destroyed: %s", error)
