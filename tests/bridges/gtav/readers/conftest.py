import numpy as np
import pytest
from game_samples import town_drive


@pytest.fixture(scope="session")
def truths(made_once):
    """Six frames of a drive through the embedded town, of which the last is a metre on."""
    frames = town_drive(6, made_once)
    assert np.linalg.norm(frames[-1].pose[:3, 3] - frames[0].pose[:3, 3]) > 1
    return frames
