"""Predicts a distillation's cost by running one batch of each kind on fake tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from pathlib import Path

import torch

from realmaster_live.model.profile import Profile
from realmaster_live.training.distillation.discriminator import LatentDiscriminator
from realmaster_live.training.distillation.dmd2 import Matching
from realmaster_live.training.distillation.networks import Teacher, open_networks
from realmaster_live.training.distillation.recipe import DistillRecipe
from realmaster_live.training.distillation.stage import DistillStage
from realmaster_live.training.estimate.blocks import Measured, replay
from realmaster_live.training.estimate.meter import Meter
from realmaster_live.training.estimate.report import Estimate, allot, batch_of
from realmaster_live.training.estimate.shapes import (
    FakePairs,
    always_first_expert,
    bytes_of,
    empty_text,
    fake_tensors,
    latent_shape,
    parts,
    shaped_bases,
    tensors_of,
    usual_size,
)


def estimate_distillation(
    recipe: DistillRecipe, profile: Profile, size: tuple[int, int] | None = None
) -> Estimate:
    """Return what a recipe needs for a model of this profile; `size` is (width, height) in pixels.

    Raises:
        ConfigError: the size does not fit the profile.
    """
    steps = recipe.student_steps or profile.steps
    profile = dataclasses.replace(profile, steps=steps)
    size = size or usual_size(profile)
    shape = latent_shape(profile, size, recipe.chunks)
    teacher = Teacher(base=Path(), config=recipe.base)
    with torch.device("meta"):
        opened = open_networks(teacher, teacher, recipe, lambda _: shaped_bases(profile))
        judge = None
        if recipe.discriminates:
            judge = LatentDiscriminator(
                profile.latent_channels, width=recipe.dmd2.width, depth=recipe.dmd2.depth
            )
    networks = (opened.student, opened.critic, opened.teacher)
    known: dict[Hashable, Measured] = {}
    with fake_tensors([*networks, judge]), Meter(tensors_of(*networks, judge)) as meter:
        for network in networks:
            always_first_expert(network)
            for each in parts(network):
                replay(each, meter, known)
        matching = Matching(
            recipe.dmd2,
            profile=profile,
            teacher=opened.teacher,
            critic=opened.critic,
            discriminator=judge,
            empty_text=empty_text(profile),
        )
        stage = DistillStage(recipe, opened.student, matching, FakePairs(profile, shape), dict)
        judges = stage.state.judges
        steady = allot([stage.state, *judges.values()], meter)
        batches = []
        if judges:
            losses = stage.judge_losses(0)
            for name in list(losses):
                judges[name].add(losses.pop(name))
            count = recipe.dmd2.critic_steps * recipe.critic.accumulate
            batches.append(batch_of(" and ".join(judges), count, meter, steady))
            meter.restart()
        terms, _ = stage.student_terms(0)
        stage.state.add(torch.stack([*terms.values()]).sum())
        batches.append(batch_of("the student", recipe.student.accumulate, meter, steady))
    width, height = size
    return Estimate(
        title=f"{recipe.method}: a student of {steps} steps of {profile.name} at {width}x{height}, "
        f"{recipe.chunks} chunks of {profile.chunk_frames} frames, batch {recipe.batch}",
        steady={"weights": bytes_of(tensors_of(*networks, judge)), **steady},
        batches=batches,
        steps=recipe.student.steps,
    )
