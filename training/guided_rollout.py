"""Rollouts with classifier-free guidance over the prompt, for models that are not distilled.

Reference, past and target depend on the prompt through cross-attention, so the pass with it and the
pass without it have keys and values of their own; the sample is one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from realmaster_live.model.cache import RingCache
from realmaster_live.model.sampling import euler_step, flow_start
from realmaster_live.training.distillation.losses import guided
from realmaster_live.training.experts import Network, commit
from realmaster_live.training.latents import ropes


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
