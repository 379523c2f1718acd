"""Step distillation on pairs: direct regression of x0 on the student's own rollouts.

Every chunk of a rollout has its own truth, so no teacher network is needed. At the few timesteps
that the engine uses, x0 is regressed on the truth's latents. The key-value cache is the one that
the student filled itself, and the gradient goes through one random step (Self Forcing, Huang et al.
2025).
"""

from __future__ import annotations

import torch
from torch import Tensor

from realmaster_live.model.sampling import sigmas
from realmaster_live.training.data import step_rng, torch_rng
from realmaster_live.training.distillation.self_forcing import (
    draw_steps,
    moving_noise,
    roll_out_with_gradients,
)
from realmaster_live.training.embedded.stage_inputs import StageInputs
from realmaster_live.training.embedded.transformer import latent_batch
from realmaster_live.training.latents import long_enough, prompt_kv
from realmaster_live.training.loop import autocast
from realmaster_live.training.losses import huber


class DistillStage:
    """Trains the transformer on rollouts, as the live engine runs it."""

    name = "distill"

    def __init__(self, inputs: StageInputs) -> None:
        self.inputs, self.recipe, self.stage = inputs, inputs.recipe, inputs.recipe.distill
        self.module = inputs.transformer
        self.chunks = self.stage.chunks
        self.sequences = long_enough(inputs.sequences, self.chunks)

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the mean x0 loss over the chunks of a batch of rollouts."""
        stage, profile = self.stage, self.module.profile
        rng = step_rng(self.recipe.seed, step, purpose=3)
        reference, target, names = latent_batch(
            self.sequences, rng, batch=stage.batch, chunks=stage.chunks, patch=profile.patch
        )
        noise = moving_noise(
            torch.randn(reference.shape[1:], generator=torch_rng(rng)), stage.chunks
        )
        steps = draw_steps(rng, chunks=stage.chunks, steps=profile.steps, same=False)
        levels = sigmas(profile.steps, profile.shift)
        with autocast(self.recipe):
            prompt = prompt_kv(self.module, names)
            x0, clean = roll_out_with_gradients(
                self.module, reference, noise, prompt, levels, steps
            )
        error = (clean - target).square().mean()
        return {"loss": 2.0 * huber(x0, target), "rollout_mse": error}

    def validate(self) -> dict[str, float]:
        """Return PSNR of validation rollouts in the default number of steps."""
        return self.inputs.preview(self.name)
