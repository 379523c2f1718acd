"""The world of a drive on a server of its own: its weather, traffic, walkers and vehicle."""

import pytest

carla = pytest.importorskip("carla")

from realmaster_live.bridges.carla.bridge import CarlaBridge  # noqa: E402
from realmaster_live.collect.recipe import plan_drives, read_recipe  # noqa: E402
from realmaster_live.collect.stage import send_walkers, set_stage, weather_of  # noqa: E402
from realmaster_live.errors import ConfigError  # noqa: E402

pytestmark = pytest.mark.carla


@pytest.mark.slow
def test_traffic_and_walkers_move_and_are_gone_afterwards(running, tmp_path):
    with running("--seed", "1", "--no-raster") as server:
        (tmp_path / "recipe.toml").write_text(
            f'server = "{server.host}:{server.port}"\nvehicles = 6\nwalkers = 5\n'
            '[[drives]]\ntowns = ["MiniTown01"]\nweathers = ["WetNoon"]\ntimes = ["dusk"]\n'
        )
        recipe = read_recipe(tmp_path / "recipe.toml")
        (drive,) = plan_drives(recipe, tmp_path)
        options = {"width": 32, "height": 32, "labels": (), "objects": False}
        with (
            set_stage(recipe, drive) as stage,
            CarlaBridge(stage.host, stage.port, ego=stage.ego, **options) as bridge,
        ):
            world = bridge.session.world
            send_walkers(world, stage, drive.seed)
            assert world.get_map().name.endswith("MiniTown01")
            weather = world.get_weather()
            assert weather.precipitation_deposits > 0 and weather.sun_altitude_angle == 4.0
            frames = bridge.frames()
            next(frames)
            before = {actor.id: actor.get_location() for actor in world.get_actors()}
            for _ in range(60):
                next(frames)
            moved = {"vehicle.": 0, "walker.": 0, "ego": 0}
            for actor in world.get_actors():
                kind = "ego" if actor.id == stage.ego else actor.type_id.partition(".")[0] + "."
                if kind in moved:
                    moved[kind] += actor.get_location().distance(before[actor.id]) > 1.0
            assert moved["ego"] == 1 and moved["vehicle."] >= 3 and moved["walker."] >= 2
        world = server.client().get_world()
        assert not world.get_settings().synchronous_mode
        kinds = {actor.type_id.partition(".")[0] for actor in world.get_actors()}
        assert not kinds & {"vehicle", "walker", "controller", "sensor"}


def test_a_preset_is_not_changed_for_others():
    before = carla.WeatherParameters.ClearNoon.sun_altitude_angle
    night = weather_of(carla, "ClearNoon", "night")
    assert night.sun_altitude_angle < 0 and night.cloudiness == pytest.approx(
        carla.WeatherParameters.ClearNoon.cloudiness
    )
    assert carla.WeatherParameters.ClearNoon.sun_altitude_angle == before
    with pytest.raises(ConfigError, match=r"expected a weather among ClearNight, .*got 'Snow'"):
        weather_of(carla, "Snow", None)
