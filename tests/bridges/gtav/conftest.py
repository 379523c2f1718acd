"""A drive that a stand-in for the game plays."""

import pytest
from game_server import record_drive


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Twenty seconds."""
    return record_drive(tmp_path_factory.mktemp("drive"), 400)
