"""The loss of an IC-LoRA: denoising of target tokens that attend to the clean render.

The render's tokens have timestep 0 and the target's positions, attend to themselves only, and have
no loss. The target's tokens attend to both, and to the past through the ring, as in the live
engine.

Legend: n consecutive chunks, B samples, C latent channels, f latent frames of a chunk, h w latent
height and width, L layers, H heads, N tokens of a chunk, M tokens of a prompt, D head channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from realmaster_live.errors import PairError
from realmaster_live.model.cache import RingCache
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.in_context import Rope
from realmaster_live.model.sampling import add_noise, flow_start
from realmaster_live.training.iclora.batches import Batches, LatentBatch
from realmaster_live.training.iclora.conditions import (
    Conditions,
    SampleDraws,
    draw_samples,
    levels,
    masked_error,
    plan_step,
    token_timesteps,
)
from realmaster_live.training.iclora.timesteps import Timesteps
from realmaster_live.training.latents import empty_past, ropes
from realmaster_live.training.loop import mixed

BINS = 10  # number of bins over t in the log


class LossBins:
    """Mean losses by noise level, because the mean over all levels does not show convergence."""

    def __init__(self) -> None:
        self.sums, self.counts = [0.0] * BINS, [0] * BINS

    def add(self, t: Tensor, losses: Tensor) -> None:
        """Add the losses (B,) of samples at t (B,)."""
        for level, loss in zip(t.tolist(), losses.tolist(), strict=True):
            place = min(int(level * BINS), BINS - 1)
            self.sums[place] += loss
            self.counts[place] += 1

    def take(self) -> dict[str, float]:
        """Return bin -> mean loss since the last call, and reset."""
        means = {
            f"{i / BINS:.1f}-{(i + 1) / BINS:.1f}": round(total / count, 5)
            for i, (total, count) in enumerate(zip(self.sums, self.counts, strict=True))
            if count
        }
        self.__init__()  # type: ignore[misc]
        return means


class IcLoraStage:
    """Trains a transformer's adapter: its parameters that require gradients."""

    name = "ic-lora"

    def __init__(
        self,
        transformer: InContextTransformer,
        batches: Batches,
        *,
        conditions: Conditions,
        timesteps: Timesteps,
        span: tuple[float, float] = (0.0, 1.0),
        empty_text: Tensor | None = None,  # (M, channels)
        bfloat16: bool = False,
        preview: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.module, self.batches = transformer, batches
        self.conditions, self.timesteps, self.span = conditions, timesteps, span
        self.empty_text, self.bfloat16 = empty_text, bfloat16
        self.preview = preview
        self.bins = LossBins()

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the loss of a batch."""
        profile, seed = self.module.profile, self.batches.seed
        plan = plan_step(self.conditions, profile, seed=seed, step=step)
        batch = self.batches.draw(step, from_start=plan.from_start)
        reference, target = (x[: plan.past + 1] for x in (batch.reference, batch.target))
        with_reference = plan.reference or not profile.in_context  # a flow may start at the render
        if not with_reference:
            reference = torch.zeros_like(reference)
        draws = draw_samples(
            self.conditions,
            self.timesteps,
            seed=seed,
            samples=batch.samples,
            like=target,
            tokens=tokens_of(self.module, target),
            span=self.span,
        )
        losses = self.losses(batch, reference, target, draws, with_reference=with_reference)
        self.bins.add(draws.t, losses.detach())
        return {"loss": losses.mean()}

    def losses(
        self,
        batch: LatentBatch,
        reference: Tensor,  # (n, B, C, f, h, w) or (n, B, C, h, w)
        target: Tensor,
        draws: SampleDraws,
        *,
        with_reference: bool = True,
    ) -> Tensor:  # (B,)
        """Return each sample's loss on its last chunk; `with_reference` False hides the render."""
        model, wanted = self.module, target[-1]
        each = levels(draws.t, draws.clean_first, wanted)
        start = flow_start(model.profile, draws.noise, reference[-1])
        sample = (1.0 - each) * wanted + each * start
        rope = rope_of(model, wanted)
        with mixed(self.bfloat16):
            prompt = prompt_keys(model, batch, draws.no_caption, self.empty_text)
            context = model.context(reference[-1], rope, prompt)
            context = context if with_reference else empty_past(context)
            past, past_rope = self.past(
                reference, target, draws, prompt, context, with_reference=with_reference
            )
            x0, _ = model.denoise(
                sample,
                token_timesteps(each, draws.clean_first, tokens_of(model, target)),
                reference[-1],
                context,
                past,
                rope,
                past_rope,
                prompt,
            )
        velocity = model.profile.prediction == "velocity"
        return masked_error(x0.float(), wanted, each, velocity=velocity)

    @torch.no_grad()
    def past(
        self,
        reference: Tensor,
        target: Tensor,
        draws: SampleDraws,
        prompt: Tensor | None,
        like: Tensor,
        *,
        with_reference: bool,
    ) -> tuple[Tensor, Rope]:
        """Return keys and values of the noised past in sink and ring, and their rotary tables."""
        model, cache = self.module, RingCache(self.module.profile)
        rope, zero = rope_of(model, target[0]), torch.zeros(target.shape[1])
        amount = draws.history_t
        if target[0].ndim == 4:  # the prefix is the previous chunk
            clean = torch.tensor(draws.clean_first, device=amount.device)
            amount = torch.where(clean, 0.0, amount)
        for index in range(len(target) - 1):
            context = model.context(reference[index], rope, prompt)
            context = context if with_reference else empty_past(context)
            noised = add_noise(target[index], draws.history[index], amount)
            past, past_rope = cache.past(context), rope_of(model, target[0], tuple(cache.times()))
            _, target_kv = model.denoise(
                noised, zero, reference[index], context, past, rope, past_rope, prompt
            )
            cache.push(target_kv)
        return cache.past(like), rope_of(model, target[0], tuple(cache.times()))

    def validate(self) -> dict[str, Any]:
        """Return the metrics on the validation clips."""
        return self.preview()


def tokens_of(model: InContextTransformer, latents: Tensor) -> int:
    """Return the number of tokens of a chunk."""
    frames = latents.shape[-3] if model.profile.chunk_latents > 1 else 1
    return frames * latents.shape[-2] * latents.shape[-1] // model.profile.patch**2


def rope_of(model: InContextTransformer, latent: Tensor, times: tuple[float, ...] = (0.0,)) -> Rope:
    """Return the rotary tables of a chunk, or of chunks at other times."""
    rows, columns = (side // model.profile.patch for side in latent.shape[-2:])
    return ropes(model.profile, rows, columns, times)


def prompt_keys(
    model: InContextTransformer,
    batch: LatentBatch,
    no_caption: Sequence[bool] = (),  # B
    empty_text: Tensor | None = None,  # (M, channels)
) -> Tensor | None:  # (L, 2, B, H, M, D)
    """Return the prompts' keys and values with gradients; `no_caption` takes the empty prompt's.

    In a model with learnt prompts, the first of them serves as the empty prompt.

    Raises:
        PairError: an embedding is missing, or the model did not learn a prompt.
    """
    profile = model.profile
    dropped = no_caption or (False,) * len(batch)
    if profile.prompts:
        names = [
            profile.prompts[0] if drop else name
            for name, drop in zip(batch.prompts, dropped, strict=True)
        ]
        check_prompts(profile.prompts, names)
        places = torch.tensor([profile.prompts.index(name) for name in names])
        return model.prompt(model.prompt_embedding[places])
    if not profile.text_width:
        return None
    if batch.text is None:
        raise PairError(
            f"expected embeddings of the prompts for {profile.name}, got clips without: encode "
            "them with the model's text encoder"
        )
    text = batch.text
    if any(dropped):
        if empty_text is None:
            raise PairError(
                "expected an embedding of the empty prompt, got none: encode it beside the others, "
                "or set caption_dropout = 0"
            )
        is_dropped = torch.tensor(dropped, device=text.device)[:, None, None]
        text = torch.where(is_dropped, empty_text.to(text), text)
    return model.prompt(text)


def check_prompts(known: Sequence[str], names: Sequence[str]) -> None:
    """Raise PairError for a prompt that the model did not learn."""
    unknown = sorted({*names} - {*known})
    if unknown:
        raise PairError(
            f"expected clips of the prompts {', '.join(known)}, got {unknown}: train on clips of "
            "these, or name the others in the model's profile"
        )
