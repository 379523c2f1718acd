"""Previews and metrics of validation clips, which are realized as in the live engine.

Legend: n consecutive chunks, C latent channels, F latent frames of a clip, f of a chunk, h w latent
height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realmaster_live.engines.noise import ChunkNoise
from realmaster_live.model.cache import RingCache
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import Profile
from realmaster_live.model.sampling import euler_step, flow_start, sigmas
from realmaster_live.system.pictures import write_picture
from realmaster_live.training.distillation.losses import guided
from realmaster_live.training.experts import Network, commit
from realmaster_live.training.iclora.base import Base
from realmaster_live.training.iclora.batches import LatentBatch, LatentPair, LatentPairs, cut
from realmaster_live.training.iclora.conditions import SampleDraws
from realmaster_live.training.iclora.pictures import grid, painter_of
from realmaster_live.training.iclora.stage import IcLoraStage, LossBins, prompt_keys
from realmaster_live.training.latents import Rollout, ropes
from realmaster_live.training.loop import mixed

LEVELS = tuple((i + 0.5) / 5 for i in range(5))  # noise levels of the validation loss


class GuidedRollout:
    """A network over consecutive chunks under guidance.

    Args:
        network: the network.
        levels: its noise levels, from 1 to 0.
        prompts: keys and values of the prompt, then of the empty one.
        guidance: 1 is none (Ho and Salimans 2022, eq. 6).
    """

    def __init__(
        self,
        network: Network,
        levels: Sequence[float],
        prompts: tuple[Tensor, Tensor],
        guidance: float,
    ) -> None:
        self.network, self.levels = network, list(levels)
        self.prompts, self.guidance = prompts, guidance
        self.caches = [RingCache(network.profile) for _ in prompts]

    @torch.no_grad()
    def chunk(self, reference: Tensor, noise: Tensor) -> Tensor:  # latents (B, C, F, h, w)
        """Return the clean latent of the next chunk."""
        network, profile = self.network, self.network.profile
        rows, columns = (side // profile.patch for side in reference.shape[-2:])
        rope = ropes(profile, rows, columns)
        seen = []
        for cache, prompt in zip(self.caches, self.prompts, strict=True):
            context = network.context(reference, rope, prompt)
            turns = ropes(profile, rows, columns, tuple(cache.times()))
            seen.append((reference, context, cache.past(context), rope, turns, prompt))
        x_t = flow_start(profile, noise, reference)
        for t, t_next in zip(self.levels[:-1], self.levels[1:], strict=True):
            time = torch.full((len(reference),), t)
            with_prompt, without = (network.denoise(x_t, time, *each)[0].float() for each in seen)
            x0 = guided(with_prompt, without, self.guidance, "standard")
            x_t = euler_step(x_t, x0, t, t_next)
        for cache, each in zip(self.caches, seen, strict=True):
            cache.push(commit(network, x_t, *each))
        return x_t


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """The chunks of a validation clip, as a batch of one."""

    name: str
    batch: LatentBatch


def open_clips(pairs: LatentPairs, profile: Profile, *, clips: int, chunks: int) -> list[Clip]:
    """Return the first chunks of the first clips that are long enough for one."""
    opened: list[Clip] = []
    for index, shape in enumerate(pairs.shapes):
        count = min(chunks, shape[1] // profile.chunk_latents)
        if count and len(opened) < clips:
            batch = batch_of(pairs.read(index), profile, chunks=count)
            opened.append(Clip(name=f"{index:03d}", batch=batch))
    return opened


def batch_of(pair: LatentPair, profile: Profile, *, chunks: int) -> LatentBatch:
    """Return the first chunks of a clip as a batch of one."""
    both = torch.stack((pair.reference.float(), pair.target.float()))
    latents = cut(both, profile, first=0, chunks=chunks)[:, :, None]
    latents = latents.to(torch.get_default_device())
    text = None if pair.text is None else pair.text.float()[None].to(latents.device)
    return LatentBatch(
        reference=latents[0],
        target=latents[1],
        prompts=(pair.prompt,),
        text=text,
        samples=(0,),
        first=(0,),
    )


@torch.no_grad()
def realize(
    model: InContextTransformer,
    batch: LatentBatch,
    *,
    steps: int,
    seed: int,
    guidance: float = 1.0,
    empty_text: Tensor | None = None,  # (M, channels)
) -> Tensor:  # (n, B, C, f, h, w) or (n, B, C, h, w)
    """Return the latents that the engine produces for a batch's references, chunk by chunk."""
    levels = sigmas(steps or model.profile.steps, model.profile.shift)
    prompt, noise = prompt_keys(model, batch), ChunkNoise((1, *batch.reference.shape[2:]), seed)
    starts = [torch.from_numpy(noise.take().copy()).to(batch.reference) for _ in batch.reference]
    chunks = [
        (reference, start.expand_as(reference))
        for reference, start in zip(batch.reference, starts, strict=True)
    ]
    if guidance == 1.0 or prompt is None:
        rollout = Rollout(model, levels)
        return torch.stack([rollout.chunk(*chunk, prompt)[0] for chunk in chunks])
    plain = prompt_keys(model, batch, (True,) * len(batch), empty_text)
    assert plain is not None
    guiding = GuidedRollout(model, levels, (prompt, plain), guidance)
    return torch.stack([guiding.chunk(*chunk) for chunk in chunks])


@torch.no_grad()
def level_losses(stage: IcLoraStage, batch: LatentBatch, *, seed: int) -> dict[str, float]:
    """Return the loss of the last chunk at fixed noise levels, always with the same noise."""
    bins, (low, high) = LossBins(), stage.span
    noise = torch.from_numpy(ChunkNoise(tuple(batch.target[-1].shape), seed).take())
    noise = noise.to(batch.target)
    for level in LEVELS:
        t = torch.full((1,), low + (high - low) * level, device=noise.device)
        draws = SampleDraws(
            t=t,
            noise=noise,
            history=torch.zeros_like(batch.target[:-1]),
            history_t=torch.zeros_like(t),
            clean_first=(False,),
            no_caption=(False,),
        )
        bins.add(t, stage.losses(batch, batch.reference, batch.target, draws))
    return bins.take()


class Preview:
    """Metrics of validation clips, and a picture of each with rows render, realized, truth."""

    def __init__(
        self,
        base: Base,
        stage: IcLoraStage,
        pairs: LatentPairs,
        *,
        clips: int,
        chunks: int,
        steps: int,
        seed: int,
        guidance: float = 1.0,
    ) -> None:
        self.base, self.stage, self.steps, self.seed = base, stage, steps, seed
        self.guidance = guidance
        self.clips = open_clips(pairs, base.profile, clips=clips, chunks=chunks)
        self.paint = painter_of(base)

    def __call__(self, folder: Path) -> dict[str, Any]:
        """Return mean squared errors of realized and rendered latents, and losses by t.

        One expert of two cannot realize a clip alone, so it has losses only.
        """
        figures: dict[str, list[float]] = {}
        levels: dict[str, list[float]] = {}
        alone = self.base.expert is None
        for clip in self.clips:
            for name, loss in level_losses(self.stage, clip.batch, seed=self.seed).items():
                levels.setdefault(name, []).append(loss)
            if alone:
                for name, value in self.realized(clip, folder).items():
                    figures.setdefault(name, []).append(value)
        return {
            **{name: round(float(np.mean(values)), 5) for name, values in figures.items()},
            "loss_by_t": {name: round(float(np.mean(v)), 5) for name, v in levels.items()},
        }

    @torch.no_grad()
    def realized(self, clip: Clip, folder: Path) -> dict[str, float]:
        """Return the errors of a rollout, and write its picture."""
        batch = clip.batch
        with mixed(self.stage.bfloat16):
            made = realize(
                self.stage.module,
                batch,
                steps=self.steps,
                seed=self.seed,
                guidance=self.guidance,
                empty_text=self.stage.empty_text,
            ).float()
        clips = (batch.reference, made, batch.target)
        strips = [self.paint(latents[:, 0]) for latents in clips]
        folder.mkdir(parents=True, exist_ok=True)
        write_picture(folder / f"{clip.name}.png", grid(strips, len(made)))
        return {
            "mse": float((made - batch.target).square().mean()),
            "mse_reference": float((batch.reference - batch.target).square().mean()),
        }
