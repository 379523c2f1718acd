"""Each method does on a small synthetic task what it is for."""

import dataclasses
import json

import pytest
import torch

from realmaster_live.model.checkpoint import load_checkpoint
from realmaster_live.model.sampling import sigmas
from realmaster_live.training.distillation.dmd2 import DMD2Config
from realmaster_live.training.distillation.networks import Teacher
from realmaster_live.training.distillation.recipe import STUDENT, DistillRecipe
from realmaster_live.training.distillation.regress import RegressConfig
from realmaster_live.training.distillation.train import distill
from realmaster_live.training.latents import roll_out

NO_JUDGES = DMD2Config(weight=0.0, gan_weight=0.0)


def optimizer(**options):
    return dataclasses.replace(STUDENT, warm_up=5, ema=0.9, ema_from=5, **options)


def recipe(**options):
    return DistillRecipe(**{"threads": 1, "bfloat16": False, "batch": 8, "chunks": 2} | options)


def undistilled(run):
    return json.loads((run / "undistilled.json").read_text())["figures"]


@pytest.fixture(scope="module")
def toned_teacher(tmp_path_factory, taught, toned):
    return Teacher(base=taught(tmp_path_factory.mktemp("toned"), toned, steps=100))


@pytest.fixture(scope="module")
def textured_teacher(tmp_path_factory, taught, textured):
    return Teacher(base=taught(tmp_path_factory.mktemp("textured"), textured, steps=250))


@pytest.mark.slow
def test_regression_comes_nearer_than_the_teacher_in_as_few_steps(
    toned_teacher, toned, data_of, tmp_path
):
    options = recipe(student=optimizer(steps=50, learning_rate=1e-3, schedule="cosine"))
    data = data_of(toned)
    verdict = distill(options, data, toned_teacher, tmp_path)
    assert verdict.figures["error"] < 0.6 * undistilled(tmp_path)["error"]
    assert not verdict.failed


@pytest.mark.slow
def test_consistency_alone_keeps_a_student_on_its_teachers_path(
    toned_teacher, toned, data_of, tmp_path
):
    """Without any truth, one step learns what two steps give."""
    options = recipe(
        student_steps=2,
        student=optimizer(steps=50, learning_rate=1e-3, schedule="cosine"),
        regress=RegressConfig(weight=0.0, consistency_weight=1.0),
    )
    data = data_of(toned)
    distill(options, data, toned_teacher, tmp_path)
    folders = (toned_teacher.base, tmp_path / "checkpoint")
    before, after = (one_step_from_two(folder, toned) for folder in folders)
    assert after < 0.8 * before


def first_chunks(make, seeds):  # (1, B, C, h, w)
    return torch.stack([make(seed).reference[:, :1].transpose(0, 1) for seed in seeds], 1)


def one_step_from_two(folder, make):
    """How far a network's answer after one step is from that after two."""
    _, network = load_checkpoint(folder)
    reference = first_chunks(make, range(500, 516))
    one, two = (
        roll_out(network, reference, levels, torch.Generator().manual_seed(1), ["clear"] * 16)
        for levels in ([1.0, 0.0], sigmas(2, 5.0))
    )
    return float((one - two).square().mean())


@pytest.mark.slow
def test_matching_gives_back_the_texture_that_regression_took(
    textured_teacher, textured, data_of, tmp_path
):
    """The truth has one of two textures; in the mean of both there is none."""
    data = data_of(textured)
    first = recipe(chunks=1, student=optimizer(steps=40, learning_rate=1e-3))
    distill(
        first,
        data,
        textured_teacher,
        tmp_path / "regress",
    )
    judge = optimizer(learning_rate=1e-3)
    second = recipe(
        method="dmd2",
        chunks=1,
        student=optimizer(steps=60, learning_rate=3e-4),
        critic=judge,
        regress=RegressConfig(weight=0.0),
        dmd2=DMD2Config(critic_steps=3, gan_weight=0.0),
    )
    begin = Teacher(base=tmp_path / "regress" / "checkpoint")
    distill(
        second,
        data,
        textured_teacher,
        tmp_path / "dmd2",
        start=begin,
    )
    blurred, matched = (
        strengths(tmp_path / name / "checkpoint", textured) for name in ("regress", "dmd2")
    )
    assert blurred.abs().mean() < 0.65  # of 1
    assert matched.std() > blurred.std() + 0.1
    assert matched.abs().mean() > blurred.abs().mean() + 0.1
    assert matched.min() < -0.5 and matched.max() > 0.5  # both textures are made


def strengths(folder, make):
    """How much of the texture is in what a network makes, signed, of 1."""
    _, network = load_checkpoint(folder)
    reference = first_chunks(make, range(2000, 2064))
    generator = torch.Generator().manual_seed(5)
    made = roll_out(network, reference, sigmas(2, 5.0), generator, ["clear"] * 64)[0]
    side = made.shape[-1]
    board = (torch.arange(side)[:, None] + torch.arange(side)) % 2 * 2.0 - 1.0
    return ((made - reference[0]) * board).mean((1, 2, 3))


@pytest.mark.slow
def test_a_discriminator_alone_gives_texture_back(textured_teacher, textured, data_of, tmp_path):
    data = data_of(textured)
    first = recipe(chunks=1, student=optimizer(steps=40, learning_rate=1e-3))
    distill(
        first,
        data,
        textured_teacher,
        tmp_path / "regress",
    )
    second = recipe(
        method="dmd2",
        chunks=1,
        student=optimizer(steps=50, learning_rate=3e-4),
        discriminator=optimizer(learning_rate=2e-3),
        regress=RegressConfig(weight=0.0),
        dmd2=DMD2Config(
            weight=0.0, critic_steps=2, gan_weight=1.0, r1_weight=0.01, width=16, depth=1
        ),
    )
    begin = Teacher(base=tmp_path / "regress" / "checkpoint")
    verdict = distill(
        second,
        data,
        textured_teacher,
        tmp_path / "gan",
        start=begin,
    )
    assert verdict.figures["texture"] < 0.6 * undistilled(tmp_path / "gan")["texture"]


@pytest.mark.slow
def test_self_forcing_lowers_the_drift_of_long_rollouts(tmp_path, taught, tinted, data_of):
    """The past has to hand a tint on: over 12 chunks the teacher loses it."""
    teacher = Teacher(base=taught(tmp_path / "teacher", tinted, steps=150, chunks=3))
    options = recipe(
        method="self-forcing",
        batch=16,
        chunks=6,
        student=optimizer(steps=60, learning_rate=1e-3, schedule="cosine"),
        dmd2=NO_JUDGES,
    )
    data = data_of(tinted, frames=6, unseen=12)
    verdict = distill(options, data, teacher, tmp_path / "run")
    before = undistilled(tmp_path / "run")
    assert verdict.figures["drift"] < 0.85 * before["drift"]
    assert verdict.figures["error"] < before["error"]
    assert "drift" in verdict.failed  # and the gate says that it is still too much
