"""The last stage: trains encoder, transformer and guided decoder together on decoded rollouts.

Rollouts run exactly as in the live engine. The gradient goes through the decoder and one denoise
step into the encoder, so latents are optimized for the decoded pictures.

Legend: B sequences, K chunks, T frames of a chunk, H W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from realmaster_live.errors import PairError
from realmaster_live.model.sampling import sigmas
from realmaster_live.model.vae import to_pixels
from realmaster_live.training.data import random_corner, step_rng, torch_rng
from realmaster_live.training.embedded.autoencoder import (
    chunk_cells,
    decode_chunks,
    encode_chunks,
    picture_loss,
)
from realmaster_live.training.embedded.look_augmentation import randomize_look
from realmaster_live.training.embedded.precipitation import draw_precipitation
from realmaster_live.training.embedded.stage_inputs import StageInputs
from realmaster_live.training.embedded.vgg import vgg
from realmaster_live.training.latents import (
    Rollout,
    draw_alike,
    draw_window,
    long_enough,
    pixels,
    prompt_kv,
)
from realmaster_live.training.loop import autocast
from realmaster_live.training.losses import feature_distance, huber, psnr

LATENT_WEIGHT = 0.02  # weight of a loss that keeps latents near the autoencoder's
FEATURE_FRAMES = 1  # whole frames of a sample that the VGG loss sees
LAST_STEP_SHARE = 0.75  # share of samples whose gradient goes through the last denoise step


class JointStage:
    """Trains all networks together on their decoded pictures."""

    name = "joint"

    def __init__(self, inputs: StageInputs) -> None:
        self.inputs, self.recipe, self.stage = inputs, inputs.recipe, inputs.recipe.joint
        self.autoencoder, self.transformer = inputs.autoencoder, inputs.transformer
        self.module = nn.ModuleDict(
            {"autoencoder": self.autoencoder, "transformer": self.transformer}
        )
        self.autoencoder.requires_grad_(True)
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad_(not name.startswith(self.stage.frozen))
        long_enough(inputs.sequences, self.stage.chunks)  # or its error
        self.chunks = 1  # single chunks are trained on too
        self.sequences = [*inputs.sequences]
        self.falling = [s for s in self.sequences if s.clip.calm is not None]
        if self.stage.falling_share and not self.falling:
            raise PairError(
                f"expected clips in rain or snow for falling_share = {self.stage.falling_share:g}, "
                f"got none among {len(inputs.sequences)} sequences: render some with --prompts "
                "rain,snow, or set falling_share to 0"
            )

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, list[str]]:
        """Return targets (K, B, C, h, w), render and truth (B, K * T, H, W, 3) uint8, prompts."""
        stage, profile = self.stage, self.transformer.profile
        chunks = 1 if rng.random() < stage.single_share else stage.chunks
        usable = [sequence for sequence in self.sequences if len(sequence) >= chunks]
        if rng.random() < stage.falling_share:
            chunks = min(chunks, max(map(len, self.falling)))
            usable = [sequence for sequence in self.falling if len(sequence) >= chunks]
        whole = rng.random() < stage.whole_share
        latents, sims, truths, names = [], [], [], []
        for sequence in draw_alike(usable, rng, stage.batch):
            first = random_corner(rng, len(sequence), chunks, 1)
            _, _, h, w = sequence.target.shape
            window = draw_window(
                sequence,
                rng,
                rows=h if whole else stage.height // profile.latent_stride,
                columns=w if whole else stage.width // profile.latent_stride,
                step=profile.patch,
            )
            latents.append(window.of(sequence.target[first : first + chunks]))
            sim, truth = pixels(sequence, profile, window, first=first, chunks=chunks)
            sims.append(randomize_look(sim, rng) if rng.random() < stage.varied_share else sim)
            truths.append(truth)
            names.append(sequence.clip.prompt)
        return torch.stack(latents, 1), torch.stack(sims), torch.stack(truths), names

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the picture loss of a batch of rollouts."""
        stage, profile = self.stage, self.transformer.profile
        time = profile.chunk_frames
        rng = step_rng(self.recipe.seed, step, purpose=6)
        target, sim, truth, names = self.batch(rng)
        noise = torch.randn(target.shape, generator=torch_rng(rng))
        rollout = Rollout(self.transformer, sigmas(profile.steps, profile.shift))
        last = rng.random() < LAST_STEP_SHARE
        chosen = profile.steps - 1 if last else int(rng.integers(profile.steps))
        guides, truths = (chunk_cells(x, time) for x in (sim, truth))
        with autocast(self.recipe):
            latents = []
            prompt = prompt_kv(self.transformer, names)
            references = encode_chunks(self.autoencoder, guides, stage.batch)
            for reference, eps in zip(references, noise, strict=True):
                _, x0 = rollout.chunk(reference.float(), eps, prompt, gradient_step=chosen)
                assert x0 is not None
                latents.append(x0.float())
            chance = list(noise) if profile.falling else None
            got = decode_chunks(self.autoencoder, latents, guides, chance)
        wanted = torch.cat([to_pixels(x, time) for x in truths], 1)
        wanted, cover = draw_precipitation(wanted, noise, names, time)
        beside = huber(torch.stack(latents), target)
        error = got - wanted
        loss = picture_loss(error, stage) + LATENT_WEIGHT * beside
        figures = {"latent_huber": beside}
        if cover.any():
            figures["falling"] = (error.abs().mean(-1) * cover).sum() / cover.sum()
            loss = loss + stage.falling_weight * figures["falling"]
        if stage.perceptual_weight:
            figures["features"] = self.features(rng, got, wanted)
            loss = loss + stage.perceptual_weight * figures["features"]
        with torch.no_grad():
            figures["db"] = psnr(error).mean()
        return {"loss": loss, **figures}

    def features(self, rng: np.random.Generator, got: Tensor, wanted: Tensor) -> Tensor:
        """Return the VGG distance (Johnson et al. 2016) of random frames."""
        times = sorted(rng.choice(got.shape[1], FEATURE_FRAMES, replace=False).tolist())
        seen = [x[:, times] for x in (got, wanted)]
        with autocast(self.recipe):
            maps = vgg()(torch.cat(seen).flatten(0, 1))
        halves = [x.float().chunk(2) for x in maps]
        return feature_distance(*zip(*halves, strict=True))

    def validate(self) -> dict[str, float]:
        """Return PSNR of validation rollouts."""
        return self.inputs.preview(self.name)
