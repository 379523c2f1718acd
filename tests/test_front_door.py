"""What the README shows runs as it stands: who opens a thing closes it, and nothing is left."""

import contextlib
import logging
import threading

import pytest

import realmaster_live as rm

pytestmark = pytest.mark.carla


@pytest.fixture
def hero(minitown):
    """A town with a vehicle in it; gives the town's port."""
    world = minitown.client().get_world()
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    blueprint.set_attribute("role_name", "hero")
    places = world.get_map().get_spawn_points()
    vehicle = next(filter(None, (world.try_spawn_actor(blueprint, place) for place in places)))
    yield minitown.port
    with contextlib.suppress(RuntimeError):
        vehicle.destroy()


def test_world_to_recording_and_back(hero, tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(threading.enumerate())
    size = {"width": 64, "height": 32}
    recorder, view = rm.Recorder("drive-01"), rm.LiveView()
    with (
        rm.CarlaBridge(port=hero, **size) as world,
        rm.load_engine("identity", **size) as engine,
        caplog.at_level(logging.WARNING, "realmaster_live"),
    ):
        stats = rm.run(world, engine, [recorder, view], max_frames=8)
        assert not recorder.is_open and not view.is_open  # the run opened them
        assert "live view: http://127.0.0.1:" in caplog.text
        with rm.SideBySideVideo("film.mp4") as film:
            again = rm.run(world, engine, [film, rm.Recorder("drive-02")], max_frames=8)
            assert film.is_open  # its owner opened it
        assert "hero" in repr(world.info) and f":{hero}" in repr(world)
    assert stats.realized == again.realized == 8
    frames = list(rm.Recording("drive-01"))
    assert len(frames) == len(rm.Recording("drive-01")) == 8
    info = rm.Recording("drive-01").info
    assert (info.simulator, info.ticked_by, info.fps) == ("carla", "us", pytest.approx(20))
    assert info.counts["captured"] == 8 and info.cameras["front"].fov_deg == 80
    assert repr(engine) == "IdentityEngine(64x32, chunks of 4 at 20 a second)"
    assert len(rm.Recording("drive-02")) == 8 and (tmp_path / "film.mp4").stat().st_size > 0
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not [name for name in left if name.startswith("rm-")]


def test_weather_and_town_may_change_under_a_recording(running, tmp_path) -> None:
    """A run goes on over a change of weather and another town: each part has its own facts."""
    carla = pytest.importorskip("carla")
    with running("--seed", "7", "--no-raster", "--vehicles", "0", "--walkers", "0") as town:
        client = town.client()

        def spawn_hero(world) -> None:
            blueprint = world.get_blueprint_library().filter("vehicle.*")[0]
            blueprint.set_attribute("role_name", "hero")
            places = world.get_map().get_spawn_points()
            assert any(world.try_spawn_actor(blueprint, place) for place in places)

        class Changing:
            """A sink that changes the world as the run goes on."""

            chunks = 0

            def write(self, chunk) -> None:
                self.chunks += 1
                if self.chunks == 4:
                    client.get_world().set_weather(carla.WeatherParameters.HardRainNight)
                if self.chunks == 12:
                    spawn_hero(client.load_world("MiniTown12"))

            def close(self) -> None:
                pass

        spawn_hero(client.get_world())
        size = {"width": 64, "height": 32}
        with (
            rm.CarlaBridge(port=town.port, labels=(), synchronous=False, **size) as world,
            rm.load_engine("identity", **size) as engine,
        ):
            rm.run(world, engine, [rm.Recorder(tmp_path / "d"), Changing()], max_frames=100)
    recording = rm.Recording(tmp_path / "d")
    first, second = recording.scenes()
    assert [one.info.town for one in (first, second)] == ["MiniTown07", "MiniTown12"]
    table = first.table("frames")
    before, after = dict.fromkeys(table["weather"].to_pylist())
    assert "night" not in before and after.startswith("night rain")
    assert set(second.table("frames")["town"].to_pylist()) == {"MiniTown12"}
    segments = recording.segment_folders()
    assert len(segments) >= 3
    for one in (first, second):
        stamps = one.table("frames")["timestamp"].to_pylist()
        assert stamps == sorted(set(stamps))
