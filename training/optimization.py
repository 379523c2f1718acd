"""The optimizer: AdamW, its learning-rate schedule, weight averaging, gradient accumulation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from realmaster_live.errors import ConfigError
from realmaster_live.training.adam8bit import Adam8bit

Schedule = Literal["cosine", "linear", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimization:
    """The options of AdamW, its schedule and the averaging of weights.

    Attributes:
        steps: number of optimizer steps, each of `accumulate` batches.
        budget_s: wall-clock seconds, summed over resumes; training ends at whichever comes first.
        accumulate: number of batches over which one step averages gradients.
        learning_rate: peak of the schedule.
        warm_up: steps of linear warm-up.
        schedule: cosine or linear down to `final_rate`, or constant.
        final_rate: final learning rate as a fraction of the peak.
        weight_decay: AdamW's.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights.
        ema_from: step at which averaging starts; before it, the averaged weights are the
            trained ones.
        bits: 32, or 8 for moments in blocks of bytes.
    """

    steps: int = 3000
    budget_s: float = math.inf
    accumulate: int = 1
    learning_rate: float = 2e-4
    warm_up: int = 50
    schedule: Schedule = "cosine"
    final_rate: float = 0.02
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0
    ema: float = 0.99
    ema_from: int = 0
    bits: int = 32

    def __post_init__(self) -> None:
        if self.bits not in (8, 32):
            raise ConfigError(f"expected bits 8 or 32, got {self.bits}: take one of them")
        for name in ("steps", "accumulate"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"expected {name} of at least 1, got {getattr(self, name)}: raise it"
                )

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return a new optimizer of the parameters."""
        betas = (self.beta1, self.beta2)
        if self.bits == 8:
            return Adam8bit(
                parameters, lr=self.learning_rate, betas=betas, weight_decay=self.weight_decay
            )
        return torch.optim.AdamW(
            parameters,
            lr=self.learning_rate,
            betas=betas,
            weight_decay=self.weight_decay,
            fused=torch.get_default_device().type == "cuda",
        )


def learning_rate(options: Optimization, step: int, elapsed_s: float) -> float:
    """Return the rate: linear warm-up, then the schedule over the further of steps and seconds."""
    progress = min(1.0, max(step / options.steps, elapsed_s / options.budget_s))
    falling = {
        "cosine": 0.5 * (1.0 + math.cos(math.pi * progress)),
        "linear": 1.0 - progress,
        "constant": 1.0,
    }[options.schedule]
    warm = min(1.0, (step + 1) / max(1, options.warm_up))
    return options.learning_rate * warm * (options.final_rate + (1 - options.final_rate) * falling)


def averaging(options: Optimization, step: int) -> float:
    """Return the decay of the average at step `step`, counted from 1."""
    since = step - options.ema_from
    return 0.0 if since <= 0 else min(options.ema, since / (since + 20.0))
