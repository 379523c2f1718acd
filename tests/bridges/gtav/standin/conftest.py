"""A short drive that the stand-in plays to its end."""

import pytest
from game_client import FRAMES
from game_server import record_drive


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Frames whose pixels, depths and poses are known."""
    return record_drive(tmp_path_factory.mktemp("recording"), FRAMES)
