"""The README's commands and Python run as they stand, only shorter and on a free port."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAM = Path(sys.executable).parent / "realmaster"
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHORTER = {
    "attach": ["--seconds", "0.4", "--engine", "identity", "--view-port", "0"],
    "record": ["--seconds", "0.4", "--engine", "identity"],
    "replay": ["--engine", "identity"],
    "bench": ["--seconds", "0.4", "--engine", "identity"],
    "doctor": [],
    "dataset": [],
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


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


@pytest.mark.carla
def test_realmaster_commands_run_in_their_order(minitown, tmp_path) -> None:
    world = minitown.client().get_world()
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])
    run = [c[1:] for c in commands() if c[0] == "realmaster"]
    assert {arguments[0] for arguments in run} == {*SHORTER, "minitown"}
    for verb, *rest in run:
        if verb == "minitown":
            rest = ["--help"]  # the fixture has one running
        rest = [str(minitown.port) if word == "2000" else word for word in rest]
        command = [str(PROGRAM), verb, *rest, *SHORTER.get(verb, [])]  # the last --seconds counts
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, (command, done.stderr[-2000:])
    assert (tmp_path / "drive-01" / "segments" / "000000" / "frames.parquet").exists()
    assert (tmp_path / "data" / "README.md").exists()


def test_python_compiles() -> None:
    sources = blocks("python")
    assert sources
    for source in sources:
        compile(source, "README.md", "exec")
