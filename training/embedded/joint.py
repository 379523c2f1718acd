"""The last stage: trains encoder, transformer and guided decoder together on decoded rollouts.

Rollouts run exactly as in the live engine. The gradient goes through the decoder and one denoise
step into the encoder, so latents are optimized for the decoded pictures.

Legend: B sequences, K chunks, T frames of a chunk, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from realmaster_live.errors import PairError
from realmaster_live.model.sampling import sigmas
from realmaster_live.model.vae import to_pixels
from realmaster_live.training.data import random_corner, step_rng, torch_rng
from realmaster_live.training.embedded.adversary import (
    PatchDiscriminator,
    discriminator_loss,
    fooling_loss,
)
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
    classes,
    draw_alike,
    draw_window,
    geometry,
    light,
    long_enough,
    pixels,
    prompt_kv,
    without,
)
from realmaster_live.training.loop import StageState, autocast, frozen, judge_state
from realmaster_live.training.losses import feature_distance, huber, psnr

LATENT_WEIGHT = 0.02  # weight of a loss that keeps latents near the autoencoder's
FEATURE_FRAMES = 1  # frames of a sample that the VGG losses see
FEATURE_WIDTH = 192  # pixels of their width that they see, at full resolution
LAST_STEP_SHARE = 0.75  # share of samples whose gradient goes through the last denoise step


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Windows of sequences.

    Attributes:
        target: (K, B, C, h, w), latents of the truth.
        sim: (B, K * T, H, W, 3) uint8, renders.
        truth: of the renders' shape and dtype.
        classes: (B, K * T, H, W) uint8; None where nobody judges by them.
        geometry: (B, K * T, G, H / 2, W / 2) uint8; None for a decoder without it.
        light: (K, B, L, h, w); None for an encoder without it.
        prompts: one for each sequence.
    """

    target: Tensor
    sim: Tensor
    truth: Tensor
    classes: Tensor | None
    geometry: Tensor | None
    light: Tensor | None
    prompts: list[str]


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
        self.judges: dict[str, StageState] = {}
        if self.stage.adversarial_weight:
            with torch.random.fork_rng():
                torch.manual_seed(self.recipe.seed)
                judge = PatchDiscriminator()
            self.judges["adversary"] = judge_state("adversary", judge, self.stage.adversary)
        self.chunks = 1  # single chunks are trained on too
        self.sequences = [*inputs.sequences]
        self.falling = [s for s in self.sequences if s.clip.calm is not None]
        if self.stage.falling_share and not self.falling:
            raise PairError(
                f"expected clips in rain or snow for falling_share = {self.stage.falling_share:g}, "
                f"got none among {len(inputs.sequences)} sequences: render some with --prompts "
                "rain,snow, or set falling_share to 0"
            )

    def batch(self, rng: np.random.Generator) -> Batch:
        """Return random windows of random sequences."""
        stage, profile = self.stage, self.transformer.profile
        chunks = 1 if rng.random() < stage.single_share else stage.chunks
        usable = [sequence for sequence in self.sequences if len(sequence) >= chunks]
        if rng.random() < stage.falling_share:
            chunks = min(chunks, max(map(len, self.falling)))
            usable = [sequence for sequence in self.falling if len(sequence) >= chunks]
        whole = rng.random() < stage.whole_share
        latents, sims, truths, shown, shapes, lights, names = [], [], [], [], [], [], []
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
            if self.judges:
                shown.append(classes(sequence, profile, window, first=first, chunks=chunks))
            if profile.geometry:
                known = geometry(sequence, profile, window, first=first, chunks=chunks)
                shapes.append(self.partly(known, rng))
            if profile.light:
                told = light(sequence, profile, window, first=first, chunks=chunks)
                lights.append(told * (rng.random() >= stage.light_dropout))
            names.append(sequence.clip.prompt)
        return Batch(
            target=torch.stack(latents, 1),
            sim=torch.stack(sims),
            truth=torch.stack(truths),
            classes=torch.stack(shown) if shown else None,
            geometry=torch.stack(shapes) if shapes else None,
            light=torch.stack(lights, 1) if lights else None,
            prompts=names,
        )

    def partly(self, known: Tensor, rng: np.random.Generator) -> Tensor:
        """Return geometry with depth, classes or both dropped, each alone or both by chance."""
        depth, classes = rng.random(2) < self.stage.geometry_dropout
        return without(known, depth=bool(depth), classes=bool(classes))

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the picture loss of a batch of rollouts."""
        stage, profile = self.stage, self.transformer.profile
        time = profile.chunk_frames
        rng = step_rng(self.recipe.seed, step, purpose=6)
        batch = self.batch(rng)
        noise = torch.randn(batch.target.shape, generator=torch_rng(rng))
        rollout = Rollout(self.transformer, sigmas(profile.steps, profile.shift))
        last = rng.random() < LAST_STEP_SHARE
        chosen = profile.steps - 1 if last else int(rng.integers(profile.steps))
        guides, truths = (chunk_cells(x, time) for x in (batch.sim, batch.truth))
        with autocast(self.recipe):
            latents = []
            prompt = prompt_kv(self.transformer, batch.prompts)
            lights = None if batch.light is None else list(batch.light)
            references = encode_chunks(self.autoencoder, guides, stage.batch, lights)
            for reference, eps in zip(references, noise, strict=True):
                _, x0 = rollout.chunk(reference.float(), eps, prompt, gradient_step=chosen)
                assert x0 is not None
                latents.append(x0.float())
            chance = list(noise) if profile.falling else None
            shapes = None
            if batch.geometry is not None:
                shapes = [part.flatten(0, 1) for part in torch.split(batch.geometry, time, 1)]
            got = decode_chunks(self.autoencoder, latents, guides, chance, shapes)
        wanted = torch.cat([to_pixels(x, time) for x in truths], 1)
        wanted, cover = draw_precipitation(wanted, noise, batch.prompts, time)
        beside = huber(torch.stack(latents), batch.target)
        error = got - wanted
        loss = picture_loss(error, stage) + LATENT_WEIGHT * beside
        figures = {"latent_huber": beside}
        if cover.any():
            figures["falling"] = (error.abs().mean(-1) * cover).sum() / cover.sum()
            loss = loss + stage.falling_weight * figures["falling"]
        if stage.perceptual_weight or self.judges:
            terms = self.feature_terms(rng, got, wanted, batch.classes)
            weights = {"features": stage.perceptual_weight, "fooling": stage.adversarial_weight}
            loss = loss + sum(weights[name] * terms[name] for name in weights if name in terms)
            figures |= terms
        with torch.no_grad():
            figures["db"] = psnr(error).mean()
        return {"loss": loss, **figures}

    def feature_terms(
        self, rng: np.random.Generator, got: Tensor, wanted: Tensor, shown: Tensor | None
    ) -> dict[str, Tensor]:
        """Return losses on VGG's features of random frames, after a step of the discriminator.

        `features` is the distance of Johnson et al. (2016), `fooling` the discriminator's verdict.
        """
        times = sorted(rng.choice(got.shape[1], FEATURE_FRAMES, replace=False).tolist())
        wide = min(FEATURE_WIDTH, got.shape[3])
        left = random_corner(rng, got.shape[3], wide, 1)
        seen = [x[:, times, :, left : left + wide] for x in (got, wanted)]
        with autocast(self.recipe):
            maps = vgg()(torch.cat(seen).flatten(0, 1))
        made, true = zip(*(x.float().chunk(2) for x in maps), strict=True)
        terms = {"features": feature_distance(made, true)}
        if shown is None:
            return terms
        state, penalty = self.judges["adversary"], self.stage.adversary_penalty
        class_map = shown[:, times, :, left : left + wide].flatten(0, 1).long()
        with autocast(self.recipe):
            lost = discriminator_loss(state.module, true, made, class_map, penalty=penalty)
        state.update(lost)
        with autocast(self.recipe), frozen(state.module):
            terms["fooling"] = fooling_loss(state.module, made, class_map)
        return terms | {"adversary_loss": lost.detach()}

    def validate(self) -> dict[str, float]:
        """Return PSNR of validation rollouts."""
        return self.inputs.preview(self.name)
