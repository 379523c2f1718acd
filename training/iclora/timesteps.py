"""The distribution of noise levels in training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from realmaster_live.errors import ConfigError

FEW_TOKENS, MANY_TOKENS = 1024, 4096  # the mean is linear in the number of tokens through these two


@dataclass(frozen=True, slots=True, kw_only=True)
class Timesteps:
    """A shifted logit-normal distribution: t = 1 / (1 + exp(-(mu + std z))), z normal.

    The distribution is that of Esser et al. 2024 (arXiv 2403.03206, section 3.1). mu grows linearly
    with the number of tokens, from 0.95 at 1024 to 2.05 at 4096 and beyond, as in Lightricks'
    public trainer for LTX-Video, because more tokens reveal more of a picture under the same noise.
    Equal values at both make mu constant.

    Attributes:
        mean_at_1024: mu for chunks of 1024 target tokens.
        mean_at_4096: mu for chunks of 4096.
        std: standard deviation of the logit of t.
        uniform: share of samples whose t is uniform.
        pure: share of samples at t = 1, where every rollout starts.
        least: smallest t.
    """

    mean_at_1024: float = 0.95
    mean_at_4096: float = 2.05
    std: float = 1.0
    uniform: float = 0.1
    pure: float = 0.0
    least: float = 1e-3

    def __post_init__(self) -> None:
        if min(self.uniform, self.pure) < 0 or self.uniform + self.pure > 1:
            raise ConfigError(
                "expected uniform and pure to be shares that sum up to at most 1, got "
                f"{self.uniform} and {self.pure}: lower one"
            )
        if not 0 < self.least < 1:
            raise ConfigError(f"expected least in (0, 1), got {self.least}: 1e-3 is usual")

    def mean(self, tokens: int) -> float:
        """Return mu for a number of tokens."""
        slope = (self.mean_at_4096 - self.mean_at_1024) / (MANY_TOKENS - FEW_TOKENS)
        return self.mean_at_1024 + slope * (tokens - FEW_TOKENS)

    def draw(
        self, rng: np.random.Generator, tokens: int, span: tuple[float, float] = (0.0, 1.0)
    ) -> float:
        """Return a random t; for one of two experts the distribution is scaled to its span."""
        kind, even, z = rng.random(), rng.random(), rng.standard_normal()
        t = 1.0 / (1.0 + math.exp(-(self.mean(tokens) + self.std * z)))
        if kind < self.pure:
            t = 1.0
        elif kind < self.pure + self.uniform:
            t = even
        low, high = span
        return max(self.least, low + (high - low) * t)
