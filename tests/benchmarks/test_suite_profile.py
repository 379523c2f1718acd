"""What tests cost is written down for all of their parts, with what their children took."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import suite_profile

BURN = "import time\nwhile time.process_time() < {}: pass\n"
TESTS = f"""
import subprocess, sys, time
import pytest

def burn():
    end = time.process_time() + 0.05
    while time.process_time() < end: pass

burn()

@pytest.fixture(scope="module")
def inner():
    burn()

@pytest.fixture(scope="module")
def outer(inner):
    return 1

def test_own(outer): burn()
def test_child(outer): subprocess.run([sys.executable, "-c", {BURN.format(0.2)!r}], check=True)
"""


def rows(folder):
    return {
        (kind, name.partition(" (")[0]): (own, children)
        for file in folder.glob("*.jsonl")
        for kind, name, own, children in map(json.loads, file.read_text().splitlines())
    }


@pytest.mark.parametrize("processes", [0, 2])
def test_every_part_has_its_row(tmp_path, processes):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    folder = tmp_path / "profile"
    paths = [str(Path(suite_profile.__file__).parent), *filter(None, sys.path)]
    plugins = ["-p", "suite_profile", "-p", "xdist"]
    command = ["-m", "pytest", "-q", *plugins, f"-n{processes}", "--dist=loadfile"]
    subprocess.run(
        [sys.executable, *command, "--rootdir", str(tmp_path), str(tmp_path / "test_it.py")],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "SUITE_PROFILE": str(folder),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # importing all that are installed takes seconds
        },
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert len(list(folder.glob("*.jsonl"))) == max(1, processes)
    found = rows(folder)
    assert found["collect", "test_it.py"][0] >= 0.05
    assert found["fixture", "inner"][0] >= 0.05
    assert found["fixture", "outer"][0] < found["fixture", "inner"][0]  # without the other's
    assert found["test", "test_it.py::test_own"][0] >= 0.1  # with its fixtures
    assert found["test", "test_it.py::test_own"][1] == 0
    assert found["test", "test_it.py::test_child"][1] >= 0.2
    text = suite_profile.report(folder, 1)
    assert "tests with theirs: 2, " in text and "1 x  test_it.py::test_child" in text
