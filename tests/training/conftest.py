import json

import cv2
import numpy as np
import pytest

from realmaster_live.model.profile import TINY
from realmaster_live.training.recipe import Recipe, StageRecipe

HEIGHT, WIDTH = 64, 96


def write_pair(folder, seed: int, frames: int = 12) -> None:
    """A moving pattern, and the same through a fixed colour matrix and a blur."""
    rng = np.random.default_rng(seed)
    big = rng.integers(0, 256, (HEIGHT // 8 + 4, WIDTH // 8 + 6, 3), np.uint8)
    big = cv2.resize(big, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    sim = np.stack([big[8 : 8 + HEIGHT, t : t + WIDTH] for t in range(frames)])
    matrix = np.array([[0.6, 0.3, 0.1], [0.1, 0.7, 0.1], [0.0, 0.2, 0.5]], np.float32)
    truth = np.stack([cv2.GaussianBlur(x, (0, 0), 0.8) for x in sim.astype(np.float32) @ matrix])
    np.save(folder / f"clip{seed:04d}.sim.npy", sim)
    np.save(folder / f"clip{seed:04d}.truth.npy", truth.round().clip(0, 255).astype(np.uint8))
    (folder / f"clip{seed:04d}.json").write_text(json.dumps({"seed": seed, "dt": 0.05}))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    for seed in (1, 2, 3, 900, 1000, 1001):
        write_pair(folder, seed)
    return folder


@pytest.fixture
def recipe():
    stage = StageRecipe(
        steps=4, budget_s=1e9, batch=2, height=32, width=64, warm_up=2, learning_rate=2e-3
    )
    return Recipe(
        profile=TINY,
        bfloat16=False,
        threads=1,
        save_s=1e9,
        validate_s=1e9,
        autoencoder=stage,
        transformer=stage,
        distill=stage,
        decoder=stage,
        joint=stage,
    )
