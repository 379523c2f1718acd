import dataclasses

import pytest
from latent_clips import make_clips, write_base

from realmaster_live.training.iclora.recipe import parse_recipe
from realmaster_live.training.iclora.train import Data


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def data():
    prompts = ("as simulated", "rain")
    return Data(
        training=make_clips(48, seed=1, prompts=prompts, sizes=((4, 6), (4, 4))),
        validation=make_clips(2, seed=2),
        sha256="clips of seed 1",
    )


@pytest.fixture
def recipe_of(base):
    """A recipe for tests, with entries of its tables changed."""

    def make(**tables):
        recipe = parse_recipe({
            "base": {"checkpoint": str(base), "name": "tiny"},
            "adapter": {"rank": 4, "alpha": 4.0},
            "batch": 4, "threads": 1, "log_steps": 1, "save_steps": 1000,
            "memory": {"bfloat16": False, "weights": "fp32", "checkpointing": False},
            "optimizer": {"steps": 4, "learning_rate": 3e-3, "warm_up": 2, "ema": 0.9},
            "validation": {"every": 1000, "clips": 0},
        })  # fmt: skip
        for name, entries in tables.items():
            if isinstance(entries, dict):
                entries = dataclasses.replace(getattr(recipe, name), **entries)
            recipe = dataclasses.replace(recipe, **{name: entries})
        return recipe

    return make
