"""Step distillation with pairs: direct x0 regression on the student's own rollouts.

Every chunk of a rollout has its own truth, so no teacher network is asked: at the few timesteps
that the engine uses, x0 is regressed on the truth's latents, with the key-value cache that the
student filled itself and the gradient through one random step (Self Forcing, Huang et al. 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.sampling import sigmas
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.training.data import Clip, step_rng, torch_rng
from realmaster_live.training.latents import LatentSequence, Rollout, long_enough, prompt_kv
from realmaster_live.training.looks import look, next_picture
from realmaster_live.training.loop import autocast
from realmaster_live.training.losses import huber
from realmaster_live.training.recipe import Recipe
from realmaster_live.training.transformer import latent_batch


class DistillStage:
    """Trains the transformer in the way that the live engine runs it."""

    name = "distill"

    def __init__(
        self,
        recipe: Recipe,
        autoencoder: StreamingAutoencoder,
        transformer: InContextTransformer,
        sequences: Sequence[LatentSequence],
        looked_at: Sequence[Clip],
        samples: Path,
    ) -> None:
        self.recipe, self.stage = recipe, recipe.distill
        self.module, self.autoencoder = transformer, autoencoder
        self.chunks = self.stage.chunks
        self.sequences = long_enough(sequences, self.chunks)
        self.looked_at, self.samples = looked_at, samples

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the mean x0 loss over the chunks of a batch of rollouts."""
        stage, profile = self.stage, self.module.profile
        rng = step_rng(self.recipe.seed, step, purpose=3)
        reference, target, names = latent_batch(
            self.sequences, rng, batch=stage.batch, chunks=stage.chunks, patch=profile.patch
        )
        generator = torch_rng(rng)
        noise = torch.randn(reference.shape[1:], generator=generator)
        rollout = Rollout(self.module, sigmas(profile.steps, profile.shift))
        losses, errors = [], []
        with autocast(self.recipe):
            prompt = prompt_kv(self.module, names)
            for index in range(stage.chunks):
                chosen = int(rng.integers(profile.steps))
                clean, x0 = rollout.chunk(reference[index], noise, prompt, gradient_step=chosen)
                assert x0 is not None
                losses.append(2.0 * huber(x0.float(), target[index]))
                errors.append((clean - target[index]).square().mean())
        return {"loss": torch.stack(losses).mean(), "rollout_mse": torch.stack(errors).mean()}

    def validate(self) -> dict[str, float]:
        """Return PSNR of validation rollouts in the default number of steps."""
        picture = next_picture(self.samples, self.name)
        with autocast(self.recipe):
            return look(self.autoencoder, self.module, self.looked_at, picture)
