import pytest
from game_samples import town_drive


@pytest.fixture(scope="session")
def truths():
    """Six frames of a drive through the embedded town."""
    return town_drive(6)
