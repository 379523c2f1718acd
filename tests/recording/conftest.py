"""A recording of two cameras in three segments."""

import shutil

import pytest
from recorded_drive import record


@pytest.fixture(scope="session")
def three_segments(made_once):
    """The recording: nobody may change it."""
    return made_once("three-segments", lambda folder: record(folder / "drive")) / "drive"


@pytest.fixture
def rig(three_segments, tmp_path):
    """A copy of one's own."""
    return shutil.copytree(three_segments, tmp_path / "drive")
