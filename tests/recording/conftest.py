"""A recording of two cameras in three segments."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import recorded_drive
from recorded_drive import record


@pytest.fixture(scope="session")
def three_segments(made_once):
    """The recording: nobody may change it."""
    return made_once("three-segments", lambda folder: record(folder / "drive")) / "drive"


@pytest.fixture
def rig(three_segments, tmp_path):
    """A copy of one's own."""
    return shutil.copytree(three_segments, tmp_path / "drive")


@pytest.fixture(scope="session")
def record_apart():
    """The function that records or repairs in a process of its own, and returns its exit status.

    It is forked off one that has imported everything: each import would take as long as the drive.
    """
    script = Path(recorded_drive.__file__)
    paths = os.pathsep.join([str(script.parent), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    ) as server:

        def status(folder: Path, point: str, chunks: int = 12, *, sensors: bool = False) -> int:
            asked = json.dumps([str(folder), point, chunks, sensors])
            print(asked, file=server.stdin, flush=True)
            return int(server.stdout.readline())

        yield status
