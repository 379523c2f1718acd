import dataclasses
import json

import numpy as np
import pytest
import torch

from realmaster_live.errors import PairError
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.model.checkpoint import save_checkpoint
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import TINY
from realmaster_live.training.data import find_clips
from realmaster_live.training.embedded.run import Run, fit
from realmaster_live.training.evaluate.metrics import psnr
from realmaster_live.training.evaluate.prompted import PromptClassifier, prompted_figures
from realmaster_live.training.latents import prompt_kv, roll_out

NAMES = ("as simulated", "red", "blue")
PROFILE = dataclasses.replace(TINY, prompts=NAMES)
SPEC = ChunkSpec(frames=4, height=64, width=96, fps=20.0)


def write(folder, seed: int, prompt: str, frames: int = 8) -> None:
    """A pattern, and the same tinted as its prompt says."""
    rng = np.random.default_rng(seed)
    small = rng.integers(40, 200, (frames, 8, 12, 3), np.uint8)
    sim = small.repeat(8, 1).repeat(8, 2)
    tint = {"as simulated": (1.0, 1.0, 1.0), "red": (1.2, 0.3, 0.3), "blue": (0.3, 0.3, 1.2)}
    truth = np.clip(sim * np.array(tint[prompt]), 0, 255).astype(np.uint8)
    name = f"town{seed:04d}-{prompt.split()[0]}"
    np.save(folder / f"{name}.sim.npy", sim)
    np.save(folder / f"{name}.truth.npy", truth)
    (folder / f"{name}.json").write_text(json.dumps({"seed": seed, "prompt": prompt}))


@pytest.fixture(scope="module")
def tinted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tinted")
    for seed in (1, 2, 3, 900, 1000):
        for prompt in NAMES:
            write(folder, seed, prompt)
    return folder


@pytest.mark.slow
def test_prompts_are_learnt(tinted, recipe, tmp_path):
    """After some steps the prompts' pictures differ in the way that their truths do."""
    stage = dataclasses.replace(recipe.joint, steps=60, batch=6, learning_rate=8e-3, warm_up=5)
    recipe = dataclasses.replace(recipe, profile=PROFILE, stages=("joint",), joint=stage)
    before = Run(recipe, tinted, tmp_path / "other").stage("joint", find_clips(tinted, "training"))
    untrained = before.validate()
    assert fit(recipe, tinted, tmp_path / "run")
    run = Run(recipe, tinted, tmp_path / "run")
    run.restore(tmp_path / "run" / "checkpoint")
    figures = run.stage("joint", find_clips(tinted, "training")).validate()
    assert figures["render, red"] == untrained["render, red"]
    for name in NAMES[1:]:
        assert figures[f"realized, {name}"] > untrained[f"realized, {name}"] + 1.5


def test_a_clip_of_a_strange_prompt_is_refused(tinted, recipe, tmp_path):
    strange = dataclasses.replace(recipe, profile=dataclasses.replace(TINY, prompts=NAMES[:2]))
    with pytest.raises(PairError, match=r"\['blue'\].*prompts"):
        Run(strange, tinted, tmp_path).clips_of("joint")


def test_names_become_keys_and_values_in_their_order():
    model = InContextTransformer(PROFILE).eval()
    kv = prompt_kv(model, ["blue", "as simulated", "blue"])
    assert kv is not None and kv.shape[2] == 3
    torch.testing.assert_close(kv[:, :, 0], kv[:, :, 2])
    assert not torch.allclose(kv[:, :, 0], kv[:, :, 1])
    unprompted = dataclasses.replace(TINY, prompts=(), prompt_tokens=0, text_width=0)
    assert prompt_kv(InContextTransformer(unprompted), ["as simulated"]) is None


def test_the_classifier_predicts_what_was_asked_for(tinted, tmp_path):
    """An engine that tints as asked is recognised; one that does nothing is not."""
    held_out = [c for c in find_clips(tinted, "held out") if c.prompt != "as simulated"]
    training = find_clips(tinted, "training")

    def colours(frames):
        return torch.from_numpy(np.array(frames).mean((1, 2))).float() / 255.0

    def perfect(clip, prompt):
        return np.array(clip.truth if prompt == clip.prompt else clip.sim)

    def idle(clip, prompt):
        return np.array(clip.sim)

    learnt = PromptClassifier.learn(training, colours)
    learnt.save(tmp_path / "classifier.npz")
    kept = PromptClassifier.load(tmp_path / "classifier.npz")
    good = prompted_figures(perfect, held_out, learnt, colours, SPEC)
    bad = prompted_figures(idle, held_out, learnt, colours, SPEC)
    assert prompted_figures(perfect, held_out, kept, colours, SPEC) == good
    assert good["classifier_clips"] == {"blue": 3, "red": 3}
    for name in NAMES[1:]:
        clip = next(clip for clip in held_out if clip.prompt == name)
        expected = np.mean(psnr(np.array(clip.sim), np.array(clip.truth)))
        assert good[name]["render_db"] == pytest.approx(expected, abs=1e-3)
        assert good[name]["as_simulated_db"] == bad[name]["prompted_db"] == good[name]["render_db"]
        assert good[name]["recognised"] == good[name]["truth_recognised"] == 1.0
        assert good[name]["chunks"] == 2
    assert min(bad[name]["recognised"] for name in NAMES[1:]) < 1.0


def test_a_model_with_prompts_starts_from_one_without(tinted, recipe, tmp_path):
    bare = dataclasses.replace(TINY, prompts=(), prompt_tokens=0, text_width=0)
    old = Run(dataclasses.replace(recipe, profile=bare), tinted, tmp_path / "old")
    save_checkpoint(tmp_path / "old", old.autoencoder, old.transformer)
    new = Run(dataclasses.replace(recipe, profile=PROFILE, seed=5), tinted, tmp_path / "new")
    new.restore(tmp_path / "old")
    kept = old.transformer.state_dict()
    assert all(
        torch.equal(kept[k], v) for k, v in new.transformer.state_dict().items() if k in kept
    )
    reference = torch.randn(2, TINY.latent_channels, 4, 6)
    generator = torch.Generator().manual_seed(0)
    levels = [1.0, 0.5, 0.0]
    plain = roll_out(old.transformer, reference[None], levels, generator, NAMES[:2])
    prompted = roll_out(
        new.transformer, reference[None], levels, generator.manual_seed(0), NAMES[:2]
    )
    torch.testing.assert_close(plain, prompted)  # until they are trained, prompts change nothing
