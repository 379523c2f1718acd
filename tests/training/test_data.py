import json

import numpy as np
import pytest
import torch

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.training.data import crop_batch, find_clips, step_rng, take
from realmaster_live.training.evaluate.clips import gather
from realmaster_live.training.recipe import load_recipe, parse_recipe

EMBEDDED_RECIPE = "training/recipes/embedded.toml"


def test_held_out_seeds_stay_apart(pairs):
    assert [clip.seed for clip in find_clips(pairs, "training")] == [1, 2, 3]
    assert [clip.seed for clip in find_clips(pairs, "held out")] == [1000, 1001]


def test_no_clips_is_an_error(tmp_path):
    with pytest.raises(PairError, match="for training"):
        find_clips(tmp_path, "training")


def test_unfinished_and_unequal_clips_are_errors(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"seed": 1}))
    with pytest.raises(PairError, match=r"a\.sim\.npy"):
        find_clips(tmp_path, "training")
    np.save(tmp_path / "a.sim.npy", np.zeros((4, 32, 32, 3), np.uint8))
    np.save(tmp_path / "a.truth.npy", np.zeros((4, 32, 64, 3), np.uint8))
    with pytest.raises(PairError, match="one shape"):
        find_clips(tmp_path, "training")


def test_batches_are_a_function_of_seed_and_step(pairs):
    clips = find_clips(pairs, "training")

    def batch(seed, step):
        return crop_batch(clips, step_rng(seed, step), batch=3, frames=8, height=32, width=64)

    assert all(torch.equal(a, b) for a, b in zip(batch(0, 5), batch(0, 5), strict=True))
    assert not torch.equal(batch(0, 5)[0], batch(0, 6)[0])
    assert not torch.equal(batch(0, 5)[0], batch(1, 5)[0])
    assert batch(0, 5)[1].shape == (3, 8, 32, 64, 3)


def test_take_keeps_pairs_aligned(pairs):
    clip = find_clips(pairs, "training")[0]
    pair = take(clip, start=2, frames=4, box=(4, 8, 16, 32), mirror=True, backwards=True)
    sim, truth = (x.numpy() for x in pair)
    assert np.array_equal(sim[::-1, :, ::-1], clip.sim[2:6, 4:20, 8:40])
    assert np.array_equal(truth[::-1, :, ::-1], clip.truth[2:6, 4:20, 8:40])


def test_unknown_keys_name_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        parse_recipe({"decoder": {"learning_rat": 1.0}})
    with pytest.raises(ConfigError, match="did you mean 'decoder'"):
        parse_recipe({"decodr": {}})
    path = tmp_path / "broken.toml"
    path.write_text("seed =")
    with pytest.raises(ConfigError, match=r"broken\.toml"):
        load_recipe(path)


def test_profile_of_a_recipe_changes_what_it_names():
    recipe = parse_recipe({"profile": {"layers": 3}})
    assert recipe.profile.layers == 3
    assert recipe.profile.width == 256


def test_shipped_recipe_is_readable(pytestconfig):
    recipe = load_recipe(pytestconfig.rootpath / EMBEDDED_RECIPE)
    for stage in (recipe.autoencoder, recipe.decoder):
        assert stage.height % 32 == stage.width % 32 == 0


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_folder_that_cannot_be_read_is_not_an_empty_one(name, tmp_path):
    (tmp_path / "file").write_text("")
    for find in (
        lambda path: find_clips(path, "training"),
        lambda path: gather([path], "training"),
    ):
        with pytest.raises(
            PairError, match=r"expected a folder of pairs at .*, got (No such|Not a)"
        ):
            find(tmp_path / name)
