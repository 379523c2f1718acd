"""Recorder logs: the real carla client writes and replays them, and replay realizes them."""

import carla
import numpy as np
import pytest
from settled import actors_of

from realmaster_live.cli import main
from realmaster_live.minitown.server.log_file import read_log
from realmaster_live.recording import Recording

TICKS = 25


@pytest.fixture(scope="module")
def driven(running, tmp_path_factory):
    """A server whose hero drove for 25 ticks under its recorder; gives it, the log, the poses."""
    with running("--seed", "7", "--vehicles", "6", "--walkers", "6", "--no-raster") as server:
        client = server.client()
        world = client.get_world()
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
        world.apply_settings(settings)
        blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
        blueprint.set_attribute("role_name", "hero")
        hero = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[20])
        hero.apply_control(carla.VehicleControl(throttle=0.6, steer=0.05))
        log = tmp_path_factory.mktemp("logs") / "drive.log"
        assert client.start_recorder(str(log), True) == str(log)
        poses = []
        for _ in range(TICKS):
            world.tick()
            poses.append(hero.get_transform())
        client.stop_recorder()
        client.get_server_version()
        hero.destroy()
        world.tick()
        settings.synchronous_mode, settings.fixed_delta_seconds = False, None
        world.apply_settings(settings)
        yield server, log, poses


def test_a_log_is_in_the_documented_format_and_states_what_is_in_it(driven):
    server, log, poses = driven
    header, frames = read_log(log)
    assert log.read_bytes()[:18] == b"\x01\x00\x0e\x00CARLA_RECORDER"
    assert header.map_name.endswith("MiniTown07")
    assert [frame.number for frame in frames] == list(range(1, TICKS + 1))
    np.testing.assert_allclose([f.elapsed_s for f in frames], np.arange(TICKS) * 0.05, atol=1e-9)
    (hero,) = [one for one in frames[0].added if one.attributes.get("role_name") == "hero"]
    for frame, pose in zip(frames, poses, strict=True):
        found = frame.poses[hero.id]
        at = pose.location
        np.testing.assert_allclose(found.location, (at.x, at.y, at.z), atol=1e-3)
        assert abs(found.yaw - pose.rotation.yaw) < 1e-3
    report = server.client().show_recorder_file_info(str(log), False)
    assert f"Create {hero.id}: vehicle.tesla.model3 (1)" in report
    assert "role_name = hero" in report
    assert f"Frames: {TICKS}\nDuration: {(TICKS - 1) * 0.05:g} seconds" in report
    assert "not found" in server.client().show_recorder_file_info(str(log)[:-4] + "x.log", False)


def test_only_logs_are_written_and_nothing_else_is_written_over(driven, tmp_path):
    client = driven[0].client()
    notes = tmp_path / "notes.log"
    notes.write_text("thesis")
    for path, expected in (
        (tmp_path / "thesis.tex", "expected the name of a log, which ends in .log or .rec"),
        (notes, "got another kind of file"),
        (tmp_path, "expected the name of a log"),
    ):
        with pytest.raises(RuntimeError, match=expected):
            client.start_recorder(str(path))
    assert notes.read_text() == "thesis"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.log"]


def test_a_log_that_was_cut_off_ends_with_its_last_whole_frame(driven, tmp_path):
    _, log, _ = driven
    short = tmp_path / "short.log"
    short.write_bytes(log.read_bytes()[:-100])
    assert len(read_log(short)[1]) == TICKS - 1


def test_the_real_client_replays_a_log(driven):
    server, log, poses = driven
    client = server.client()
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    client.set_replayer_time_factor(0.0)
    report = client.replay_file(str(log), 0.0, 0.0, 0, False)
    assert "Replaying from 0 s - 1.2 s (1.2 s) at 0.0x" in report
    world.tick()
    (hero,) = [a for a in world.get_actors() if a.attributes.get("role_name") == "hero"]
    assert abs(hero.get_location().x - poses[0].location.x) < 1e-3
    client.set_replayer_time_factor(1.0)
    client.get_server_version()
    for index in range(1, 10):
        world.tick()
        at, there = hero.get_location(), poses[index].location
        assert abs(at.x - there.x) + abs(at.y - there.y) < 2e-3
    speed = hero.get_velocity().length()
    way = poses[9].location.distance(poses[8].location) / 0.05
    assert abs(speed - way) < 0.05
    client.stop_replayer(False)
    client.get_server_version()
    world.tick()
    assert not [a for a in world.get_actors() if a.attributes.get("role_name") == "hero"]
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)


def test_a_log_is_realized_with_labels_until_it_ends(driven, tmp_path, capsys):
    server, log, poses = driven
    flags = ["--engine", "identity", "--size", "128x64", "--out", str(tmp_path / "out"), "--quiet"]
    source = f"carla-log:{log}?port={server.port}"
    assert main(["replay", source, *flags]) == 0
    with Recording(tmp_path / "out") as recording:
        frames = list(recording.frames())
        assert recording.meta.about.town == "MiniTown07"
    assert len(frames) == 24
    assert set(frames[0].labels) == {"depth", "semantic", "instance"}
    steps = [
        a.ego_to_world[:3, 3] - b.ego_to_world[:3, 3]
        for a, b in zip(frames[1:], frames, strict=False)
    ]
    for index, frame in enumerate(frames):
        at = poses[index].location
        np.testing.assert_allclose(
            frame.ego_to_world[:2, 3], (at.x, -at.y), atol=3e-3, err_msg=str(index)
        )
    assert np.linalg.norm(steps[-1]) > np.linalg.norm(steps[0])
    world = server.client().get_world()
    assert not world.get_settings().synchronous_mode
    assert not any(actor.type_id.startswith("sensor.") for actor in actors_of(world))
    assert main(["replay", source, *flags]) == 0
    assert "is there already" in capsys.readouterr().out


def test_logs_that_cannot_be_replayed_say_why(driven, tmp_path, capsys):
    server, log, _ = driven
    cases = {
        f"carla-log:{tmp_path}/none.log?port={server.port}": "expected a recorder log",
        f"carla-log:{log}?port={server.port}&start=99": "expected a start within the 1.2 s",
        f"carla-log:{log}?prot=1": "expected options of a log among",
        f"carla-log:{log}?port=21499": "expected a CARLA server at 127.0.0.1:21499",
    }
    for source, expected in cases.items():
        flags = ["--engine", "identity", "--out", str(tmp_path / "out")]
        assert main(["replay", source, *flags]) in (1, 2)
        error = capsys.readouterr().err
        assert expected in error
        assert error.count("\n") == 1


@pytest.fixture(scope="module")
def mixed_log(running, tmp_path_factory):
    """A log whose hero is not its first actor; gives it, the hero's id and way, and a traffic's."""
    path = tmp_path_factory.mktemp("logs") / "mixed.log"
    with running("--seed", "7", "--vehicles", "0", "--walkers", "0", "--no-raster") as server:
        client, world, points = _synchronous(server)
        traffic = _spawn(world, "vehicle.tesla.model3", "traffic", points[3])
        hero = _spawn(world, "vehicle.tesla.model3", "hero", points[0])
        hero.apply_control(carla.VehicleControl(throttle=1.0))
        world.tick()
        client.start_recorder(str(path))
        way = []
        for _ in range(8):
            world.tick()
            way.append(hero.get_location())
        client.stop_recorder()
        client.get_server_version()
        yield path, hero.id, way, traffic.get_location()


@pytest.fixture(scope="module", params=["vehicle.tesla.model3", "vehicle.audi.a2"])
def living(request, mixed_log, running):
    """A server with three vehicles of a type, one of which has the id of the log's hero."""
    with running("--seed", "7", "--vehicles", "0", "--walkers", "0", "--no-raster") as server:
        _, world, points = _synchronous(server)
        today = [
            _spawn(world, request.param, role, points[place])
            for role, place in (("hero", 7), ("traffic", 9), ("traffic", 11))
        ]
        assert mixed_log[1] in {actor.id for actor in today}
        world.tick()
        yield server.port, world, {actor.id for actor in today}


@pytest.mark.parametrize("ego", ["", "&ego=hero", "&ego=traffic", "&ego=id"])
def test_the_ego_is_the_logs_in_a_living_world(mixed_log, living, tmp_path, caplog, ego):
    """Actors of the living world have the ids of the log's, of the same type or of another."""
    (path, hero_id, way, parked), (port, world, today) = mixed_log, living
    source = f"carla-log:{path}?port={port}{ego.replace('id', str(hero_id))}"
    flags = ["--engine", "identity", "--size", "64x48", "--labels", "none", "--quiet"]
    assert main(["replay", source, *flags, "--out", str(tmp_path / "out")]) == 0
    assert "that are not in" in caplog.text
    with Recording(tmp_path / "out") as recording:
        places = [frame.ego_to_world[:2, 3] for frame in recording.frames()]
    for place, at in zip(places, way, strict=False):
        expected = parked if ego == "&ego=traffic" else at
        np.testing.assert_allclose(place, (expected.x, -expected.y), atol=0.3)
    assert today <= {actor.id for actor in actors_of(world)}


def test_an_ego_that_is_not_in_the_log_is_answered_with_who_is(mixed_log, living, capsys):
    (path, hero_id, _, _), (port, *_) = mixed_log, living
    for ego in ("nobody", "99999"):
        source = f"carla-log:{path}?port={port}&ego={ego}"
        assert main(["replay", source, "--engine", "identity", "--out", "unused"]) == 1
        error = capsys.readouterr().err
        assert f"{hero_id} (vehicle.tesla.model3, 'hero')" in error and error.count("\n") == 1


def _synchronous(server):
    client = server.client()
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    return client, world, world.get_map().get_spawn_points()


def _spawn(world, kind, role, place):
    blueprint = world.get_blueprint_library().find(kind)
    blueprint.set_attribute("role_name", role)
    return world.spawn_actor(blueprint, place)
