"""A head behind a tiny decoder learns, by `realmaster fit`, to use the render."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from footage import write_pair
from latent_clips import make_clips, write_shards
from safetensors.torch import load_file
from tiny_autoencoders import make, profile_of

from realmaster_live.cli import main
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.model.checkpoint import load_networks, save_checkpoint
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import TINY
from realmaster_live.model.random_weights import random_networks

RECIPE = """
method = "decoder"
threads = 1
bfloat16 = false

[decoder]
steps = {steps}
batch = 2
chunks = 2
height = 32
width = 48
warm_up = 2
learning_rate = 4e-3
ema = 0.8
"""


@pytest.fixture
def base(tmp_path):
    profile = profile_of("taew2_1")
    torch.manual_seed(1)
    save_checkpoint(tmp_path / "base", make("taew2_1"), InContextTransformer(profile))
    return tmp_path / "base"


def fit(tmp_path, base, pairs, steps=40):
    recipe, out = tmp_path / "recipe.toml", tmp_path / "out"
    recipe.write_text(RECIPE.format(steps=steps))
    arguments = ["--data", str(pairs), "--out", str(out), "--base", str(base)]
    return main(["fit", str(recipe), *arguments]), out


def test_the_head_learns_to_use_the_render(tmp_path, base, pairs):
    status, out = fit(tmp_path, base, pairs)
    assert status == 0
    entries = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in entries if "loss" in entry]
    assert losses[-1] < 0.8 * losses[0]
    figures = entries[-1]["validation"]
    assert figures["guided_db"] > figures["plain_db"] + 3
    before, after = (load_file(each / "autoencoder.safetensors") for each in
                     (base, out / "checkpoint"))  # fmt: skip
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name
    assert load_networks(out / "checkpoint")[0].guided
    assert json.loads((out / "checkpoint" / "facts.json").read_text())["head"]["steps"] == 40
    prompts = {"clear": np.zeros((3, 8), np.float32)}
    with TorchEngine(out / "checkpoint", width=48, height=32, prompts=prompts) as engine:
        assert engine.spec.first_frames == 9


DATASET = """
[plan]
frames = 9
size = "64x32"
[propagate]
method = "exact"
[gate]
max_palette_drift = false
[split]
by = "seed"
"""


@pytest.mark.slow
def test_a_dataset_of_pairs_trains_it_as_well(tmp_path, base, capsys):
    """Its pictures are written beside the run, once, and latents alone are refused."""
    for seed in (3, 900):
        write_pair(tmp_path / "pairs", seed, frames=9, first=20 * (seed > 3))
    recipe, dataset = tmp_path / "set.toml", tmp_path / "SET"
    recipe.write_text(DATASET)
    assert (
        main(["pairs", "plan", str(dataset), str(tmp_path / "pairs"), "--recipe", str(recipe)]) == 0
    )
    for verb in ("propagate", "gate", "split"):
        assert main(["pairs", verb, str(dataset)]) == 0
    status, out = fit(tmp_path, base, dataset, steps=2)
    assert status == 0
    films = sorted((out / "pairs").glob("*.truth.npy"))
    assert [np.load(film).shape for film in films] == [(9, 32, 64, 3)] * 2
    written = [film.stat().st_mtime_ns for film in films]
    assert fit(tmp_path, base, dataset, steps=2)[0] == 0
    assert [film.stat().st_mtime_ns for film in films] == written
    write_shards(tmp_path / "shards", {"train": make_clips(1, seed=1)})
    capsys.readouterr()
    assert fit(tmp_path, base, tmp_path / "shards")[0] == 1
    assert "got packed latents: give the folder of the dataset" in capsys.readouterr().err


def test_other_autoencoders_are_refused(tmp_path, pairs, capsys):
    profile = replace(TINY, falling=False)
    save_checkpoint(tmp_path / "ours", *random_networks(profile, torch.device("cpu")))
    status, _ = fit(tmp_path, tmp_path / "ours", pairs, steps=1)
    assert status == 2
    assert "expected a checkpoint with a tiny autoencoder" in capsys.readouterr().err
