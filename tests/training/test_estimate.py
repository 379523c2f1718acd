"""Predicted memory and operations against runs of the same stages on real tensors."""

import dataclasses
import tomllib
from importlib.resources import files

import pytest
import torch
from latent_clips import LatentClip, LatentClips, write_base

from realmaster_live.cli import main
from realmaster_live.errors import ConfigError
from realmaster_live.model.profile import PROFILES, WAN_1_3B
from realmaster_live.training.distillation.discriminator import LatentDiscriminator
from realmaster_live.training.distillation.dmd2 import DMD2Config, Matching
from realmaster_live.training.distillation.networks import Teacher, open_networks
from realmaster_live.training.distillation.recipe import STUDENT, DistillRecipe, parse_recipe
from realmaster_live.training.distillation.stage import DistillStage
from realmaster_live.training.estimate.distill import estimate_distillation
from realmaster_live.training.estimate.fit import estimate_adapter
from realmaster_live.training.estimate.meter import Meter
from realmaster_live.training.estimate.shapes import tensors_of
from realmaster_live.training.iclora.recipe import load_recipe
from realmaster_live.training.recipe_tables import read_table

RECIPES = files("realmaster_live.training") / "recipes"
SMALL = dataclasses.replace(
    WAN_1_3B, latent_channels=4, width=32, layers=2, heads=2, hidden=64, text_width=16,
    frequency_width=16, autoencoder="ours", half=4, fine=4, middle=8, deep=8, memory=4,
)  # fmt: skip
SIZE = (64, 64)
CHUNKS = 3


def recipe_of(what, experts=1):
    optimizer = dataclasses.replace(STUDENT, steps=10, accumulate=2)
    return DistillRecipe(
        method="self-forcing", trains="adapter", critic_trains="adapter", rank=4, bfloat16=False,
        batch=1, chunks=CHUNKS, recompute=what, student=optimizer, critic=STUDENT,
        discriminator=STUDENT, dmd2=DMD2Config(critic_steps=3, width=8, depth=1),
    )  # fmt: skip


def measured(recipe, folder):
    """Take one batch of each kind on real tensors; return peaks and operations, as metered."""
    teacher = Teacher(base=folder)
    opened = open_networks(teacher, teacher, recipe)
    judge = LatentDiscriminator(4, width=8, depth=1)
    matching = Matching(
        recipe.dmd2, profile=opened.student.profile, teacher=opened.teacher,
        critic=opened.critic, discriminator=judge, empty_text=torch.zeros(512, 16),
    )  # fmt: skip
    latents = torch.randn(4, 3 * CHUNKS, SIZE[1] // 8, SIZE[0] // 8)
    clips = LatentClips([LatentClip("", latents, latents, torch.randn(512, 16))])
    stage = DistillStage(recipe, opened.student, matching, clips, dict)
    states = [stage.state, *stage.state.judges.values()]
    for state in states:
        for parameter in state.parameters.values():
            parameter.grad = torch.zeros_like(parameter)
    there = [p.grad for state in states for p in state.parameters.values()]
    networks = (opened.student, opened.critic, opened.teacher, judge)
    found = {}
    with Meter([*tensors_of(*networks), *there]) as meter:
        losses = stage.judge_losses(0)
        for name in list(losses):
            stage.state.judges[name].add(losses.pop(name))
        found["critic and discriminator"] = (meter.peak, meter.flop)
        base = meter.bytes
        meter.restart()
        terms, _ = stage.student_terms(0)
        loss = torch.stack([*terms.values()]).sum()
        del terms
        stage.state.add(loss)
        found["the student"] = (meter.peak - base, meter.flop)
    return found


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("nothing", marks=pytest.mark.slow),
        pytest.param("blocks", marks=pytest.mark.slow),
        "passes",
    ],
)
def test_a_distillation_takes_what_was_predicted(what, tmp_path):
    recipe = recipe_of(what)
    folder = write_base(tmp_path, SMALL)
    estimate = estimate_distillation(recipe, SMALL, SIZE)
    found = measured(recipe, folder)
    assert {batch.name: batch.count for batch in estimate.batches} == {
        "critic and discriminator": 3, "the student": 2,
    }  # fmt: skip
    for batch in estimate.batches:
        size, flop = found[batch.name]
        # of unused last halves of blocks the prediction counts a little too much
        assert 0.95 < batch.bytes / size < 1.3, (batch, size)
        assert 0.95 < batch.flop / flop < 1.1, (batch, flop)


@pytest.mark.slow
def test_recomputing_passes_holds_one_chunk_however_long_the_rollout():
    """What is kept of a chunk more is its keys; what is differentiated is always one pass."""
    held = {}
    for what in ("nothing", "passes"):
        for chunks in (4, 8):
            recipe = dataclasses.replace(recipe_of(what), chunks=chunks)
            found = estimate_distillation(recipe, SMALL, SIZE)
            held[what, chunks] = max(batch.bytes for batch in found.batches)
    grown = {what: held[what, 8] - held[what, 4] for what in ("nothing", "passes")}
    assert grown["passes"] < 0.4 * grown["nothing"], grown


@pytest.mark.slow
def test_fake_tensors_leave_nothing_behind(tmp_path):
    recipe = recipe_of("blocks")
    estimate_distillation(recipe, SMALL, SIZE)
    assert all(size > 0 for size, _ in measured(recipe, write_base(tmp_path, SMALL)).values())


def test_a_size_that_does_not_fit_is_reported():
    with pytest.raises(ConfigError, match=r"expected sides that are multiples of 16 .* got 130x96"):
        estimate_distillation(recipe_of("nothing"), SMALL, (130, 96))


WITHIN = {  # recipe -> GiB, hours on one H100
    "distill-wan-1.3b": (70, 24),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHIN)
def test_the_distillations_that_come_along_fit_one_h100(name):
    recipe = parse_recipe(tomllib.loads((RECIPES / f"{name}.toml").read_text()))
    told = estimate_distillation(recipe, PROFILES[recipe.base.profile])
    most, hours = WITHIN[name]
    assert told.bytes < most * 2**30, told.lines()
    assert told.seconds < hours * 3600, told.lines()


@pytest.mark.slow
def test_the_adapter_that_comes_along_fits_a_24_gb_card():
    recipe = load_recipe(RECIPES / "ic-lora-wan-1.3b.toml")
    told = estimate_adapter(recipe, PROFILES[recipe.base.profile])
    assert told.bytes < 16 * 2**30 and told.seconds < 3600


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "name"), [("fit", "ic-lora-embedded"), ("distill", "distill-embedded")]
)
def test_the_command_prints_it_without_weights_or_data(verb, name, capsys):
    assert main([verb, str(RECIPES / f"{name}.toml"), "--estimate", "--size", "64x64"]) == 0
    told = capsys.readouterr().out
    assert "GiB" in told and "on one H100" in told and "embedded at 64x64" in told


def test_stages_have_no_estimate():
    with pytest.raises(ConfigError, match="which end by the clock"):
        from realmaster_live.cli.fit import Fit, run
        from realmaster_live.cli.training_run import TrainingRun

        run(Fit(recipe=RECIPES / "embedded.toml", run=TrainingRun(estimate=True)))


def test_every_recipe_that_comes_along_loads():
    for path in RECIPES.iterdir():
        if path.name.startswith("distill"):
            assert parse_recipe(read_table(path)).student.steps
        elif path.name.startswith("ic-lora"):
            assert load_recipe(path).optimizer.steps


@pytest.mark.slow
def test_the_default_device_has_no_say():
    """As on a GPU: what a run's tensors are on is not what the estimate's are on."""
    recipe = recipe_of("passes")
    usual = estimate_distillation(recipe, SMALL, SIZE)
    torch.set_default_device("meta")
    try:
        assert estimate_distillation(recipe, SMALL, SIZE) == usual
    finally:
        torch.set_default_device("cpu")
