"""Whether a student may be handed on: its colour, motion, texture and drift against the truth's.

Figures are measured on whole rollouts, in pictures where a decoder is given and else in latents.

Legend: B samples, T frames, C channels, h w places. A *sequence* is (B, T, C, h, w).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from realmaster_live.training.distillation.losses import log_ratio
from realmaster_live.training.distillation.sequence_statistics import (
    chroma,
    drift,
    temporal_variance,
    texture,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatesConfig:
    """The largest value of each figure; inf lets everything pass.

    Attributes:
        error: mean squared distance to the truth, over the render's own.
        chroma: |log ratio| of mean chroma to the truth's: 0.15 is 16 % too much.
        temporal_variance: |log ratio| of the variance over time to the truth's.
        texture: |log ratio| of neighbours' differences to the truth's.
        drift: what colour and contrast leave the truth's by from the first third of a rollout to
            the last, in the truth's deviations.
        clips: most validation clips that are looked at.
    """

    error: float = 1.0
    chroma: float = 0.15
    temporal_variance: float = 0.35
    texture: float = 0.35
    drift: float = 0.1
    clips: int = 16

    def limits(self) -> dict[str, float]:
        """Return the limit of every figure."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name in NAMES}


NAMES = ("error", "chroma", "temporal_variance", "texture", "drift")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gates say of a student.

    Attributes:
        figures: value of every gate. limits: the largest that passes.
        space: "pictures" or "latents", where all but the error were measured.
    """

    figures: dict[str, float]
    limits: dict[str, float]
    space: str

    @property
    def failed(self) -> tuple[str, ...]:
        """Return the names of the gates that do not pass; a figure that is no number does not."""
        return tuple(n for n, value in self.figures.items() if not value <= self.limits[n])

    @property
    def distance(self) -> float:
        """Return the mean of value over limit: the lower, the better the student."""
        finite = {n: v for n, v in self.limits.items() if 0.0 < v < math.inf}
        shares = [self.figures[name] / limit for name, limit in finite.items()]
        return sum(shares) / len(shares) if shares else self.figures["error"]

    def better_than(self, other: Verdict | None) -> bool:
        """Say whether this student is the one to hand on: passing goes before being near."""
        if other is None:
            return True
        return (bool(self.failed), self.distance) < (bool(other.failed), other.distance)

    def as_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "passed": not self.failed,
            "failed": list(self.failed),
            "space": self.space,
            "figures": {name: round(value, 5) for name, value in self.figures.items()},
            "limits": {n: v if v < math.inf else None for n, v in self.limits.items()},
        }

    def line(self) -> str:
        """Return one line for a person."""
        if not self.failed:
            return "all gates pass"
        shown = [f"{n} {self.figures[n]:.3g} (at most {self.limits[n]:g})" for n in self.failed]
        return f"failing gates: {', '.join(shown)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """A rollout beside its truth and its render, as latents and as what the gates look at."""

    got: Tensor  # sequences of latents
    truth: Tensor
    render: Tensor
    seen: Tensor  # sequences of pictures, or the latents again
    seen_truth: Tensor


@torch.no_grad()
def judge(rollouts: Iterable[Rolled], config: GatesConfig, *, space: str) -> Verdict:
    """Return the verdict on a student's rollouts, each figure a mean over them."""
    figures: dict[str, list[float]] = {name: [] for name in NAMES}
    for each in rollouts:
        error = (each.got - each.truth).square().mean()
        own = (each.render - each.truth).square().mean()
        figures["error"].append(float(error / own.clamp_min(1e-12)))
        for measure in (chroma, temporal_variance, texture):
            ratio = log_ratio(measure(each.seen), measure(each.seen_truth))
            figures[measure.__name__].append(float(ratio.mean()))
        figures["drift"].append(float(drift(each.seen, each.seen_truth).mean()))
    means = {name: sum(values) / len(values) for name, values in figures.items()}
    return Verdict(
        figures={name: abs(value) for name, value in means.items()},
        limits=config.limits(),
        space=space,
    )
