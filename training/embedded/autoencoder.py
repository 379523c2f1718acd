"""The pixel stages: the streaming autoencoder, then its guided decoder on the student's latents.

Legend: B crops, K chunks of a crop, T frames of a chunk, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from realmaster_live.model.autoencoders.interface import CELL
from realmaster_live.model.vae import StreamingAutoencoder, to_cells, to_pixels
from realmaster_live.training.data import (
    Clip,
    crop_batch,
    random_corner,
    step_rng,
    torch_rng,
)
from realmaster_live.training.embedded.stage_inputs import StageInputs
from realmaster_live.training.latents import draw_window, long_enough, pixels
from realmaster_live.training.loop import autocast
from realmaster_live.training.losses import (
    chroma_l1,
    gradient_l1,
    l1,
    light_l1,
    psnr,
    pyramid_l1,
    temporal_l1,
)
from realmaster_live.training.previews import next_picture, preview
from realmaster_live.training.recipe import Recipe, StageRecipe


def chunk_cells(frames: Tensor, time: int) -> list[Tensor]:  # (B, K * T, H, W, 3) uint8
    """Return K tensors of cells (B * T, 12, H / 2, W / 2), channels last for the convolutions."""
    return [
        to_cells(chunk).contiguous(memory_format=torch.channels_last)
        for chunk in frames.split(time, 1)  # type: ignore[no-untyped-call]
    ]


def picture_loss(error: Tensor, recipe: StageRecipe) -> Tensor:
    """Return the weighted sum of the picture losses; `error` is (B, T, H, W, 3)."""
    return (
        l1(error)
        + recipe.gradient_weight * gradient_l1(error)
        + recipe.temporal_weight * temporal_l1(error)
        + (recipe.light_weight * light_l1(error) if recipe.light_weight else 0.0)
        + recipe.pyramid_weight * pyramid_l1(error)
        + recipe.chroma_weight * chroma_l1(error)
    )


def decode_chunks(
    autoencoder: StreamingAutoencoder,
    latents: Sequence[Tensor],  # K of (B, C, H / 16, W / 16)
    guides: Sequence[Tensor],  # K tensors of cells
    noise: Sequence[Tensor] | None = None,  # K of the latents' shape
    geometry: Sequence[Tensor] | None = None,  # K of (B * T, G, H / 2, W / 2) uint8
) -> Tensor:  # (B, K * T, H, W, 3)
    """Decode consecutive chunks, carrying the memory; without noise there is no precipitation."""
    time = autoencoder.profile.chunk_frames
    batch, _, h, w = latents[0].shape
    memory = autoencoder.empty_memory(batch, 16 * h, 16 * w)
    pictures = []
    nothing = [None] * len(latents)
    chance, shapes = (nothing if x is None else x for x in (noise, geometry))
    for latent, guide, eps, shape in zip(latents, guides, chance, shapes, strict=True):
        cells, memory = autoencoder.decode(latent, guide, memory, eps, shape)
        pictures.append(to_pixels(cells.float(), time))
    return torch.cat(pictures, 1)


def encode_chunks(
    autoencoder: StreamingAutoencoder,
    pictures: Sequence[Tensor],  # K tensors of cells
    batch: int,
    lights: Sequence[Tensor] | None = None,  # K of (B, L, H / 16, W / 16)
) -> list[Tensor]:
    """Return the latents of consecutive chunks, carrying the memory from one to the next."""
    _, _, h, w = pictures[0].shape
    memory = autoencoder.empty_memory(batch, CELL * h, CELL * w)
    latents = []
    told = [None] * len(pictures) if lights is None else lights
    for cells, light in zip(pictures, told, strict=True):
        latent, memory = autoencoder.encode(cells, memory, light)
        latents.append(latent)
    return latents


class AutoencoderStage:
    """Trains the truth's reconstruction with the render as guide, and both pictures without it."""

    name = "autoencoder"

    def __init__(
        self,
        recipe: Recipe,
        autoencoder: StreamingAutoencoder,
        clips: Sequence[Clip],
        preview_clips: Sequence[Clip],
        samples: Path,
    ) -> None:
        self.recipe, self.stage = recipe, recipe.autoencoder
        self.module = autoencoder
        self.clips, self.preview_clips, self.samples = clips, preview_clips, samples

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the loss of a batch of crops; noise on the latents makes the decoder robust."""
        stage, autoencoder = self.stage, self.module
        time = autoencoder.profile.chunk_frames
        rng = step_rng(self.recipe.seed, step, purpose=1)
        sim, truth = crop_batch(
            self.clips,
            rng,
            batch=stage.batch,
            frames=stage.chunks * time,
            height=stage.height,
            width=stage.width,
        )
        generator = torch_rng(rng)
        few = max(1, stage.batch // 4)  # pictures decoded without guidance
        sims, truths = chunk_cells(sim, time), chunk_cells(truth, time)
        plain = chunk_cells(torch.cat((truth[:few], sim[:few])), time)
        seen = chunk_cells(torch.cat((truth, sim[:few])), time)
        with autocast(self.recipe):
            latents = [x.float() for x in encode_chunks(autoencoder, seen, stage.batch + few)]
            scale = torch.stack([x.detach().std((0, 2, 3)) for x in latents]).mean(0)
            amount = torch.rand(len(latents[0]), 1, 1, 1, generator=generator) * stage.noise
            noisy = [
                x + amount * scale[:, None, None] * torch.randn(x.shape, generator=generator)
                for x in latents
            ]
            together = decode_chunks(
                autoencoder,
                [torch.cat((x[: stage.batch], x[:few], x[stage.batch :])) for x in noisy],
                [
                    torch.cat((guide, torch.zeros_like(nothing)))
                    for guide, nothing in zip(sims, plain, strict=True)
                ],
            )
        wanted = torch.cat(
            [to_pixels(torch.cat(x), time) for x in zip(truths, plain, strict=True)], 1
        )
        error = together - wanted
        guided, unguided = error[: stage.batch], error[stage.batch :]
        size = torch.stack([x.square().mean() for x in latents]).mean()
        loss = picture_loss(guided, stage) + 1e-4 * size
        loss = loss + stage.plain_weight * picture_loss(unguided, stage)
        with torch.no_grad():
            figures = {"guided_db": psnr(guided).mean(), "plain_db": psnr(unguided).mean()}
        return {"loss": loss, **figures, "latent_rms": size.sqrt()}

    def validate(self) -> dict[str, float]:
        """Return PSNR of validation truths decoded from their own latents."""
        with autocast(self.recipe):
            return preview(
                self.module, None, self.preview_clips, next_picture(self.samples, self.name)
            )


class DecoderStage:
    """Trains the guided decoder on latents of the student's rollouts, mixed with the truth's."""

    name = "decoder"

    def __init__(self, inputs: StageInputs) -> None:
        self.inputs, self.recipe, self.stage = inputs, inputs.recipe, inputs.recipe.decoder
        self.module = inputs.autoencoder
        self.module.encoder.requires_grad_(False)
        self.chunks = self.stage.chunks
        self.sequences = long_enough(inputs.sequences, self.chunks)

    def batch(self, rng: np.random.Generator) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return K latents (B, C, h, w), render and truth (B, K * T, H, W, 3) uint8."""
        stage, profile = self.stage, self.module.profile
        stride = profile.latent_stride
        picked, sims, truths = [], [], []
        for _ in range(stage.batch):
            sequence = self.sequences[int(rng.integers(len(self.sequences)))]
            first = random_corner(rng, len(sequence), stage.chunks, 1)
            window = draw_window(
                sequence, rng, rows=stage.height // stride, columns=stage.width // stride, step=1
            )
            own = sequence.rollout is not None and rng.random() < stage.rollout_share
            source = sequence.rollout if own and sequence.rollout is not None else sequence.target
            piece = window.of(source[first : first + stage.chunks])
            amount = stage.noise * rng.random() * (0.5 if own else 1.0)
            picked.append(piece + amount * torch.randn(piece.shape, generator=torch_rng(rng)))
            sim, truth = pixels(sequence, profile, window, first=first, chunks=stage.chunks)
            sims.append(sim)
            truths.append(truth)
        latents = list(torch.stack(picked, 1).unbind(0))
        return latents, torch.stack(sims), torch.stack(truths)

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the loss of a batch of crops."""
        time = self.module.profile.chunk_frames
        rng = step_rng(self.recipe.seed, step, purpose=4)
        latents, sim, truth = self.batch(rng)
        guides, truths = (chunk_cells(x, time) for x in (sim, truth))
        with autocast(self.recipe):
            got = decode_chunks(self.module, latents, guides)
        wanted = torch.cat([to_pixels(x, time) for x in truths], 1)
        error = got - wanted
        with torch.no_grad():
            decibels = psnr(error).mean()
        return {"loss": picture_loss(error, self.stage), "db": decibels}

    def validate(self) -> dict[str, float]:
        """Return PSNR of validation rollouts."""
        return self.inputs.preview(self.name)
