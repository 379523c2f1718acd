"""The README's commands and Python run as they stand, only shorter and on a free port."""

import contextlib
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

import realmaster_live
from realmaster_live.cli import main
from realmaster_live.system.pictures import read_picture

ROOT = Path(__file__).parent.parent
PROGRAM = Path(sys.executable).parent / "realmaster"
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHORTER = {
    "attach": ["--seconds", "0.4", "--engine", "identity", "--view-port", "0"],
    "record": ["--seconds", "0.4", "--engine", "identity"],
    "replay": ["--engine", "identity"],
    "bench": ["--sizes", "64x32", "--drawing", "before", "--seconds", "0.4", "--engine=identity"],
    "doctor": [],
    "dataset": [],
}


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def commands() -> list[list[str]]:
    return [shlex.split(line) for block in blocks("bash") for line in block.splitlines() if line]


def test_readme_is_short_and_its_files_exist() -> None:
    assert len(README.splitlines()) < 150
    for target in re.findall(r"\]\(([^)#]+)\)|`((?:docs|engines)/[^`]+\.md)`", README):
        name = next(part for part in target if part)
        assert (ROOT / name).exists(), name


def test_make_targets_exist() -> None:
    targets = [command[1] for command in commands() if command[0] == "make"]
    assert targets == ["demo", "test"]
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_extras_exist() -> None:
    named = re.findall(r"pip install '\.\[([a-z,]+)\]'", README)
    assert named
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in {name for group in named for name in group.split(",")}:
        assert re.search(rf"^{extra} = \[", pyproject, re.MULTILINE), extra


@pytest.fixture
def hero(minitown):
    """A car in the town, whose world it gives."""
    world = minitown.client().get_world()
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    blueprint.set_attribute("role_name", "hero")
    places = world.get_map().get_spawn_points()
    vehicle = next(filter(None, (world.try_spawn_actor(blueprint, place) for place in places)))
    world.wait_for_tick()
    yield vehicle
    with contextlib.suppress(RuntimeError):
        vehicle.destroy()


@pytest.mark.carla
@pytest.mark.usefixtures("hero")
def test_realmaster_commands_run_in_their_order(minitown, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    run = [c[1:] for c in commands() if c[0] == "realmaster"]
    assert {arguments[0] for arguments in run} == {*SHORTER, "minitown"}
    for verb, *rest in run:
        if verb == "minitown":  # the fixture has one running
            subprocess.run([PROGRAM, verb, "--help"], check=True, capture_output=True)
            continue
        rest = [str(minitown.port) if word == "2000" else word for word in rest]
        command = [verb, *rest, *SHORTER.get(verb, [])]  # the last --seconds counts
        assert main(command) == 0, (command, capsys.readouterr().err)
    assert (tmp_path / "drive-01" / "segments" / "000000" / "frames.parquet").exists()
    assert (tmp_path / "data" / "README.md").exists()


def run_shorter(source: str, page: str, port: int) -> None:
    """Run a snippet against the town's port instead of 2000, for less than 20 s of driving."""
    replaced = source.replace("CarlaBridge()", f"CarlaBridge(port={port})")
    replaced = replaced.replace("seconds=20", "seconds=0.4")
    assert replaced != source
    exec(compile(replaced, page, "exec"), {})


@pytest.mark.carla
@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_program_on_the_front_page_runs(page, hero, minitown, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first = blocks("python", (ROOT / page).read_text(encoding="utf-8"))[0]
    run_shorter(first, page, minitown.port)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert lines[0].endswith("(288, 512, 3) ['depth', 'instance', 'semantic']")
    assert len(list((tmp_path / "drive-01/segments").iterdir())) == 1


@pytest.mark.carla
def test_the_drop_in_camera_of_the_readme_runs(hero, minitown, tmp_path, monkeypatch) -> None:
    import carla

    monkeypatch.chdir(tmp_path)
    world = minitown.client().get_world()
    blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
    for name, value in (("image_size_x", "256"), ("image_size_y", "160")):
        blueprint.set_attribute(name, value)
    vehicle = world.get_actor(hero.id)
    own = world.spawn_actor(blueprint, carla.Transform(), attach_to=vehicle)
    names = {"rm": realmaster_live, "camera": own}
    (source,) = [block for block in blocks("python") if "rm.realize(camera" in block]
    exec(compile(source, "README.md", "exec"), names)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("out/*.png"))) < 4 and time.monotonic() < deadline:
        world.wait_for_tick()
    names["camera"].destroy()
    pictures = sorted(tmp_path.glob("out/*.png"))
    assert len(pictures) >= 4
    assert read_picture(pictures[0]).shape == (160, 256, 3)
