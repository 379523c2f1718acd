"""A chunk for benchmarks: random weights and a full ring cache, for any profile.

Legend: L layers, B batch, H heads, M tokens of a prompt, D channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from realmaster_live.model.cache import RingCache
from realmaster_live.model.concatenated import Clip, DiffusersTransformer, predict_concatenated
from realmaster_live.model.dit import Block, InContextTransformer
from realmaster_live.model.in_context import Rope, rope_at
from realmaster_live.model.precision import mix_precision
from realmaster_live.model.profile import Profile
from realmaster_live.model.sampling import euler_step, sigmas

Result = tuple[Tensor, Tensor | None]  # x0; keys and values of the commit pass, if any


@dataclass(frozen=True, kw_only=True)
class BenchCase:
    """A benchmark's profile, size and precision.

    Attributes:
        width, height: size of a picture in pixels.
        rounds: how often all variants run in turn; medians are over rounds.
        bf16: autocast to bfloat16, with the weights of products in bfloat16.
    """

    profile: Profile
    width: int
    height: int
    rounds: int
    bf16: bool = False


class SteadyChunk:
    """A chunk in the steady state: random weights, latents and text, and a full past."""

    def __init__(self, case: BenchCase, seed: int = 0) -> None:
        profile = self.profile = case.profile
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = InContextTransformer(profile).eval().requires_grad_(False)
            randomize_zero_layers(self.model)
        self.bf16 = case.bf16
        if case.bf16:
            mix_precision(self.model)
        rows, columns = case.height // profile.token_stride, case.width // profile.token_stride
        shape = profile.latent_shape(case.height, case.width)
        self.noise, self.reference, *others = (
            torch.randn(shape, generator=generator)
            for _ in range(2 + 2 * (profile.sink + profile.ring))
        )
        self.text: Tensor | None = None
        self.prompt_kv: Tensor | None = None
        if profile.text_width:
            shape = (1, profile.prompt_tokens, profile.text_width)
            self.text = torch.randn(shape, generator=generator)
            self.prompt_kv = self.model.prompt(self.text)
        self._grid = rows, columns
        self.rope = self.positions(0.0)
        self.cache = RingCache(profile)
        clips = list(zip(others[::2], others[1::2], strict=True))
        zero = torch.zeros(1)
        self.no_past = (self.rope[0][:0], self.rope[1][:0])
        for latent, reference in clips:
            context = self.model.context(reference, self.rope, self.prompt_kv)
            empty = context[..., :0, :]
            _, target_kv = self.model.denoise(
                latent, zero, reference, context, empty, self.rope, self.no_past, self.prompt_kv
            )
            self.cache.push(target_kv)
        ropes = [self.positions(time) for time in self.cache.times()]
        self.past_rope = torch.cat([r[0] for r in ropes]), torch.cat([r[1] for r in ropes])
        self.past: list[Clip] = [(*clip, rope) for clip, rope in zip(clips, ropes, strict=True)]

    @property
    def tokens(self) -> int:
        """Return the number of tokens of a chunk."""
        return len(self.rope[0])

    def positions(self, chunk: float) -> Rope:
        """Return the rotary tables of a chunk that is `chunk` chunks after the present one."""
        return rope_at(self.profile, [chunk], *self._grid)

    def cached(self, steps: int, *, past: bool, recompute: bool = False) -> Result:
        """Denoise, and commit with a past. `recompute` computes the reference in every pass."""
        model = self.model

        def context() -> Tensor:
            return model.context(self.reference, self.rope, self.prompt_kv)

        cached_context = context() if not recompute else None
        past_kv, past_rope = self.cache.past(self.noise), self.past_rope
        if not past:
            past_kv, past_rope = past_kv[..., :0, :], self.no_past

        def denoise(sample: Tensor, t: float) -> tuple[Tensor, Tensor]:
            return model.denoise(
                sample,
                torch.full((1,), t),
                self.reference,
                context() if cached_context is None else cached_context,
                past_kv,
                self.rope,
                past_rope,
                self.prompt_kv,
            )

        x0 = self._sample(steps, lambda sample, t: denoise(sample, t)[0])
        return x0, denoise(x0, 0.0)[1] if past else None

    def concatenated(
        self, steps: int, *, past: bool, diffusers: DiffusersTransformer | None = None
    ) -> Result:
        """Denoise with all clips concatenated, in our network or in diffusers'."""
        clips = self.past if past else []

        def predict(sample: Tensor, t: float) -> Tensor:
            inputs = sample, torch.full((1,), t), self.rope, self.reference, clips
            if diffusers is None:
                return predict_concatenated(self.model, *inputs, self.prompt_kv)
            assert self.text is not None
            return diffusers.predict(*inputs, self.text)

        return self._sample(steps, predict), None

    def _sample(self, steps: int, predict: Callable[[Tensor, float], Tensor]) -> Tensor:
        levels = sigmas(steps, self.profile.shift)
        latent = self.noise
        for t, t_next in pairwise(levels):
            latent = euler_step(latent, predict(latent, t), t, t_next)
        return latent


def randomize_zero_layers(model: InContextTransformer) -> None:
    """Randomize the layers that are initialized to zero, in place."""
    nn.init.normal_(model.proj_out.weight, std=0.02)
    for block in model.blocks:
        assert isinstance(block, Block)
        if model.profile.text_width:
            out = block.attn2.to_out[0]
            assert isinstance(out, nn.Linear)
            nn.init.normal_(out.weight, std=0.02)
