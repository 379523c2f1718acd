"""Predicts the cost of training an IC-LoRA by running one batch on fake tensors."""

from __future__ import annotations

import dataclasses

import torch

from realmaster_live.model.lora import attach
from realmaster_live.model.profile import Profile
from realmaster_live.training.estimate.blocks import replay
from realmaster_live.training.estimate.meter import Meter
from realmaster_live.training.estimate.report import Estimate, allot, batch_of
from realmaster_live.training.estimate.shapes import (
    FakePairs,
    bytes_of,
    empty_text,
    fake_tensors,
    latent_shape,
    shaped_bases,
    tensors_of,
    usual_size,
)
from realmaster_live.training.iclora.base import prepare
from realmaster_live.training.iclora.batches import Batches
from realmaster_live.training.iclora.conditions import SampleDraws
from realmaster_live.training.iclora.recipe import IcLoraRecipe
from realmaster_live.training.iclora.stage import IcLoraStage
from realmaster_live.training.loop import StageState
from realmaster_live.training.recompute import recompute


def estimate_adapter(
    recipe: IcLoraRecipe, profile: Profile, size: tuple[int, int] | None = None
) -> Estimate:
    """Return what a recipe needs for a model of this profile; `size` is (width, height) in pixels.

    Raises:
        ConfigError: the size does not fit the profile.
    """
    size = size or usual_size(profile)
    chunks = recipe.conditions.chunks_for(profile)
    base = shaped_bases(dataclasses.replace(profile, experts=1))[0]
    network = base.transformer
    with torch.device("meta"):
        prepare(base, weights=recipe.memory.weights, device=torch.device("meta"))
        attach(
            network,
            rank=recipe.adapter.rank,
            targets=recipe.adapter.targets,
            generator=torch.Generator(),
        )
    recompute(network, "blocks" if recipe.memory.checkpointing else "nothing")
    with fake_tensors([network]), Meter(tensors_of(network)) as meter:
        replay(network, meter, {})
        pairs = FakePairs(profile, latent_shape(profile, size, chunks))
        batches = Batches(pairs, profile, seed=0, batch=recipe.batch, chunks=chunks)
        stage = IcLoraStage(
            network,
            batches,
            conditions=recipe.conditions,
            timesteps=recipe.timesteps,
            empty_text=empty_text(profile),
            bfloat16=recipe.memory.bfloat16,
        )
        state = StageState(network, recipe.optimizer)
        steady = allot([state], meter)
        batch = batches.draw(0)
        draws = SampleDraws(
            t=torch.ones(recipe.batch),
            noise=torch.empty_like(batch.target[-1]),
            history=torch.empty_like(batch.target[:-1]),
            history_t=torch.zeros(recipe.batch),
            clean_first=(True,) * recipe.batch,  # a timestep for each token takes more memory
            no_caption=(False,) * recipe.batch,
        )
        state.add(stage.losses(batch, batch.reference, batch.target, draws).mean())
        found = batch_of("a step", recipe.optimizer.accumulate, meter, steady)
    width, height = size
    return Estimate(
        title=f"ic-lora: rank {recipe.adapter.rank} on {profile.name} at {width}x{height}, "
        f"{chunks} chunks of {profile.chunk_frames} frames, batch {recipe.batch}",
        steady={"weights": bytes_of(tensors_of(network)), **steady},
        batches=[found],
        steps=recipe.optimizer.steps,
    )
