"""The last stage: encoder, transformer and guided decoder together, on pixels of their rollouts.

Whole pictures run exactly as in the live engine; the gradient goes through the decoder and one
denoise step into the encoder, so latents are judged by what is seen of them.

Legend: B sequences, K chunks, T frames of a chunk, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.sampling import sigmas
from realmaster_live.model.vae import StreamingAutoencoder, to_pixels
from realmaster_live.training.autoencoder import (
    chunk_cells,
    decode_chunks,
    encode_chunks,
    picture_loss,
)
from realmaster_live.training.data import Clip, random_corner, step_rng, take, torch_rng
from realmaster_live.training.latents import LatentSequence, Rollout, long_enough
from realmaster_live.training.looks import look, next_picture
from realmaster_live.training.loop import autocast
from realmaster_live.training.losses import huber, psnr
from realmaster_live.training.recipe import Recipe

LATENT_WEIGHT = 0.02  # keeps the latents near what the autoencoder made them
LAST_STEP_SHARE = 0.75  # of samples whose gradient goes through the last denoise step


class JointStage:
    """Trains all networks on the pictures that they make together."""

    name = "joint"

    def __init__(
        self,
        recipe: Recipe,
        autoencoder: StreamingAutoencoder,
        transformer: InContextTransformer,
        sequences: Sequence[LatentSequence],
        held_out: Sequence[Clip],
        samples: Path,
    ) -> None:
        self.recipe, self.stage = recipe, recipe.joint
        self.autoencoder, self.transformer = autoencoder, transformer
        autoencoder.requires_grad_(True)
        self.module = nn.ModuleDict({"autoencoder": autoencoder, "transformer": transformer})
        self.sequences = long_enough(sequences, self.stage.chunks)
        self.held_out, self.samples = held_out, samples

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return targets (K, B, C, h, w), render and truth (B, K * T, H, W, 3) uint8."""
        stage, time = self.stage, self.transformer.profile.chunk_frames
        latents, sims, truths = [], [], []
        for _ in range(stage.batch):
            sequence = self.sequences[int(rng.integers(len(self.sequences)))]
            first = random_corner(rng, len(sequence), stage.chunks, 1)
            latents.append(sequence.target[first : first + stage.chunks])
            sim, truth = take(
                sequence.clip,
                start=sequence.phase + first * time,
                frames=stage.chunks * time,
                box=(0, 0, *sequence.clip.sim.shape[1:3]),
                mirror=sequence.mirror,
            )
            sims.append(sim)
            truths.append(truth)
        both = [torch.from_numpy(np.stack(frames)) for frames in (sims, truths)]
        return torch.stack(latents, 1), both[0], both[1]

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the picture loss of a batch of rollouts."""
        stage, profile = self.stage, self.transformer.profile
        time = profile.chunk_frames
        rng = step_rng(self.recipe.seed, step, purpose=6)
        target, sim, truth = self.batch(rng)
        noise = torch.randn(target.shape[1:], generator=torch_rng(rng))
        rollout = Rollout(self.transformer, sigmas(profile.steps, profile.shift))
        last = rng.random() < LAST_STEP_SHARE
        chosen = profile.steps - 1 if last else int(rng.integers(profile.steps))
        guides, truths = (chunk_cells(x, time) for x in (sim, truth))
        with autocast(self.recipe):
            latents = []
            for reference in encode_chunks(self.autoencoder, guides, stage.batch):
                _, x0 = rollout.chunk(reference.float(), noise, gradient_step=chosen)
                assert x0 is not None
                latents.append(x0.float())
            got = decode_chunks(self.autoencoder, latents, guides)
        wanted = torch.cat([to_pixels(x, time) for x in truths], 1)
        beside = huber(torch.stack(latents), target)
        error = got - wanted
        loss = picture_loss(error, stage) + LATENT_WEIGHT * beside
        with torch.no_grad():
            figures = {"db": psnr(error).mean(), "latent_huber": beside}
        return {"loss": loss, **figures}

    def validate(self) -> dict[str, float]:
        """Return PSNR of held-out rollouts."""
        picture = next_picture(self.samples, self.name)
        with autocast(self.recipe):
            return look(self.autoencoder, self.transformer, self.held_out, picture)
