"""A recipe's drives are recorded once each, whatever happens in between."""

import os
import signal
import subprocess
import sys
import time

import pytest

from realmaster_live.cli import main
from realmaster_live.recording import Recording

pytestmark = pytest.mark.carla

RECIPE = """
engine = "identity"
server = "{server}"
size = "64x32"
seconds = 0.6
vehicles = {vehicles}
walkers = 2
licence = "CC-BY-4.0"
labels = ["instance"]
sensors = []

[[drives]]
towns = ["{towns}"]
weathers = ["ClearNoon", "HardRainNight"]
seeds = [5]

[[drives]]
towns = ["{other}"]
routes = ["3..40"]
times = ["dusk"]
"""


@pytest.fixture
def recipe(tmp_path):
    """The function that writes a recipe and returns the command that collects it."""

    def write(server="minitown", towns="MiniTown7", vehicles=6, other=None):
        path = tmp_path / "recipe.toml"
        other = other or towns
        path.write_text(RECIPE.format(server=server, towns=towns, vehicles=vehicles, other=other))
        return ["dataset", "collect", str(path), "--out", str(tmp_path / "drives")]

    return write


def state_of(client):
    """What a client finds in a world: settings and actors that are not the map's own."""
    world = client.get_world()
    actors = [actor.type_id for actor in world.get_actors()]
    return world.get_settings().synchronous_mode, [
        kind for kind in actors if not kind.startswith(("traffic.", "spectator"))
    ]


@pytest.mark.slow
def test_drives_of_a_server_that_is_owned(running, recipe, tmp_path, capsys):
    with running("--seed", "1", "--no-raster") as server:
        address = f"{server.host}:{server.port}"
        assert main(recipe(address, "Town99")) == 2
        assert "Town15_Opt, which the server has, got 'Town99'" in capsys.readouterr().err
        command = recipe(address, "Town02", other="MiniTown03")
        written = (tmp_path / "recipe.toml").read_text()
        (tmp_path / "recipe.toml").write_text(
            "load_s = 0.001\n" + written.replace("64x32", "96x32")
        )
        assert main(command) == 1
        told = "expected the server to load Town02 within 0.001 s, got time-out"
        assert capsys.readouterr().out.count(told) == 2
        (tmp_path / "recipe.toml").write_text(written)  # nothing was recorded, all may change
        assert main(command) == 0
        output = capsys.readouterr().out
        assert "3 drives recorded in" in output and "0 were there, 0 failed" in output
        assert state_of(server.client()) == (False, [])
        assert server.client().get_world().get_map().name.endswith("MiniTown03")
        drives = sorted((tmp_path / "drives").glob("[!.]*"))
        abouts = [Recording(drive).meta.about for drive in drives]
        assert [drive.name for drive in drives] == [
            "MiniTown03-ClearNoon-dusk-s0-3--40",
            "Town02-ClearNoon-s5",
            "Town02-HardRainNight-s5",
        ]
        assert [about.route for about in abouts] == ["3..40", "", ""]
        assert [about.seed for about in abouts] == [0, 5, 5]
        assert [about.weather for about in abouts] == ["clear", "clear", "night rain fog"]
        assert [about.town for about in abouts] == ["MiniTown03", "Town02", "Town02"]
        assert {about.licence for about in abouts} == {"CC-BY-4.0"}
        assert all(len(Recording(drive)) == 12 for drive in drives)

        made = [(drive / "meta.json").stat().st_mtime_ns for drive in drives]
        assert main(command) == 0
        assert "0 drives recorded" in capsys.readouterr().out
        assert made == [(drive / "meta.json").stat().st_mtime_ns for drive in drives]

        assert main([*command, "--list"]) == 0
        assert capsys.readouterr().out.count("recorded ") == 3

        (tmp_path / "recipe.toml").write_text(
            (tmp_path / "recipe.toml").read_text().replace("64x32", "96x32")
        )
        assert main(command) == 2
        assert "expected size 64x32 as in" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(recipe, tmp_path):
    command = [sys.executable, "-m", "realmaster_live", *recipe()]
    text = (tmp_path / "recipe.toml").read_text()
    (tmp_path / "recipe.toml").write_text(text.replace("seconds = 0.6", "seconds = 6"))
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    part = tmp_path / "drives/.MiniTown7-ClearNoon-s5.part"
    until = time.monotonic() + 120
    while not (part / "meta.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (tmp_path / "recipe.toml").write_text(text)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 drives recorded" in done.stdout
    kept = tmp_path / "drives/.interrupted/MiniTown7-ClearNoon-s5-1"
    assert str(kept) in done.stderr.replace("\n", "")
    assert (kept / "meta.json").exists() and not Recording(kept).meta.complete
    assert not list((tmp_path / "drives").glob(".*.part"))
    drives = list((tmp_path / "drives").glob("[!.]*"))  # as a shell expands drives/*
    assert len(drives) == 3 and all(len(Recording(path)) == 12 for path in drives)


@pytest.mark.slow
def test_a_drive_that_fails_is_reported_and_the_next_one_begins(
    running, recipe, tmp_path, capsys, monkeypatch
):
    from realmaster_live.collect import collect
    from realmaster_live.errors import BridgeError

    set_stage = collect.set_stage

    def failing(recipe, drive):
        if "Rain" in drive.weather:
            raise BridgeError("expected a world, got none: start it")
        return set_stage(recipe, drive)

    monkeypatch.setattr(collect, "set_stage", failing)
    with running("--seed", "1", "--no-raster") as server:
        command = recipe(f"{server.host}:{server.port}", "Town02", vehicles=0)
        assert main(command) == 1
        output = capsys.readouterr().out
        assert "2 drives recorded" in output and "1 failed" in output
        assert "failed: Town02-HardRainNight-s5: expected a world" in output
        monkeypatch.undo()
        assert main(command) == 0
        assert "1 drives recorded in" in capsys.readouterr().out


def test_a_weather_that_is_none_is_refused_first(recipe, tmp_path, capsys):
    command = recipe()
    path = tmp_path / "recipe.toml"
    path.write_text(path.read_text().replace("HardRainNight", "Snow"))
    assert main(command) == 2
    assert "ClearNoon, ClearSunset" in capsys.readouterr().err
    (tmp_path / "drives" / "MiniTown7-ClearNoon-s5").mkdir()
    assert main(recipe()) == 1
    assert "got something else: move it away" in capsys.readouterr().err
