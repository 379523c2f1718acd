"""Trains the teacher by flow matching with x0 prediction; its past is the previous chunk.

Legend: B samples, C latent channels, h w latent height and width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from realmaster_live.model.sampling import add_noise, flow_start
from realmaster_live.training.data import random_corner, step_rng, torch_rng
from realmaster_live.training.embedded.stage_inputs import StageInputs
from realmaster_live.training.latents import (
    LatentSequence,
    draw_alike,
    draw_window,
    empty_past,
    long_enough,
    prompt_kv,
    ropes,
)
from realmaster_live.training.loop import autocast
from realmaster_live.training.losses import huber

CHUNKS = 2  # the previous chunk, and the one with the loss
PURE_NOISE_SHARE = 0.25  # share of samples at t = 1, where every rollout starts
WINDOW_SHARE = 0.5  # share of steps on a crop instead of the whole picture
WINDOW = 0.75  # the crop's share of rows and of columns


def draw_timesteps(batch: int, shift: float, generator: torch.Generator) -> Tensor:  # (B,)
    """Return shifted logit-normal timesteps (Esser et al. 2024), a share of them exactly 1."""
    t = torch.sigmoid(torch.randn(batch, generator=generator))
    t = shift * t / (1.0 + (shift - 1.0) * t)
    return torch.where(torch.rand(batch, generator=generator) < PURE_NOISE_SHARE, 1.0, t)


def latent_batch(
    sequences: Sequence[LatentSequence],
    rng: np.random.Generator,
    *,
    batch: int,
    chunks: int,
    patch: int,
) -> tuple[Tensor, Tensor, list[str]]:
    """Return references and targets (chunks, B, C, h, w) of random consecutive chunks, and prompts.

    Half of the batches are crops of the picture on token borders.
    """
    picked = []
    for sequence in draw_alike(sequences, rng, batch):
        first = random_corner(rng, len(sequence), chunks, 1)
        picked.append((sequence, slice(first, first + chunks)))
    pair = torch.stack([torch.stack((s.reference[part], s.target[part])) for s, part in picked], 2)
    if rng.random() < WINDOW_SHARE:
        rows, columns = (max(1, round(side * WINDOW / patch)) * patch for side in pair.shape[-2:])
        window = draw_window(picked[0][0], rng, rows=rows, columns=columns, step=patch)
        pair = window.of(pair)
    return pair[0], pair[1], [s.clip.prompt for s, _ in picked]


class TransformerStage:
    """Trains the transformer to predict the truth's latents from the flow, reference and past."""

    name = "transformer"

    def __init__(self, inputs: StageInputs) -> None:
        self.inputs, self.recipe, self.stage = inputs, inputs.recipe, inputs.recipe.transformer
        self.module = inputs.transformer
        self.chunks = CHUNKS
        self.sequences = long_enough(inputs.sequences, self.chunks)

    @torch.no_grad()
    def past(self, reference: Tensor, target: Tensor, prompt: Tensor | None) -> Tensor:
        """Return the keys and values of the previous chunk, as the ring cache would hold them."""
        model = self.module
        rows, columns = (side // model.profile.patch for side in reference.shape[2:])
        rope = ropes(model.profile, rows, columns)
        context = model.context(reference, rope, prompt)
        nothing = ropes(model.profile, rows, columns, ())
        zero = torch.zeros(len(reference))
        past = empty_past(context)
        return model.denoise(target, zero, reference, context, past, rope, nothing, prompt)[1]

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the x0 loss of a batch, whose past is noised, or dropped at random."""
        stage, model = self.stage, self.module
        profile = model.profile
        rng = step_rng(self.recipe.seed, step, purpose=2)
        reference, target, names = latent_batch(
            self.sequences, rng, batch=stage.batch, chunks=CHUNKS, patch=profile.patch
        )
        generator = torch_rng(rng)
        rows, columns = (side // profile.patch for side in reference.shape[3:])
        rope = ropes(profile, rows, columns)
        past_dropped = bool(rng.random() < stage.history_dropout)
        t = draw_timesteps(stage.batch, profile.shift, generator)
        eps = torch.randn(target[1].shape, generator=generator)
        start = flow_start(profile, eps, reference[1])
        amount = stage.noise * torch.rand(stage.batch, 1, 1, 1, generator=generator)
        before = target[0] + amount * torch.randn(target[0].shape, generator=generator)
        with autocast(self.recipe):
            prompt = prompt_kv(model, names)
            context = model.context(reference[1], rope, prompt)
            past = empty_past(context) if past_dropped else self.past(reference[0], before, prompt)
            times = () if past_dropped else (-1.0,)
            x0, _ = model.denoise(
                add_noise(target[1], start, t),
                t,
                reference[1],
                context,
                past,
                rope,
                ropes(profile, rows, columns, times),
                prompt,
            )
        x0 = x0.float()
        with torch.no_grad():
            error = (x0 - target[1]).square().mean((1, 2, 3))
            copied = (reference[1] - target[1]).square().mean()
        figures = {"mse": error.mean(), "mse_reference": copied}
        return {"loss": 2.0 * huber(x0, target[1]), **figures}

    def validate(self) -> dict[str, float]:
        """Return PSNR of validation rollouts in the default number of steps."""
        return self.inputs.preview(self.name)
