"""Quality gates of a student, which compare its colour, motion, texture and drift with the truth's.

Metrics are computed on whole rollouts, on pictures if there is a decoder, else on latents.

Legend: B samples, T frames, C channels, h w places. A *sequence* is (B, T, C, h, w).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from realmaster_live.errors import ConfigError
from realmaster_live.training.distillation.losses import log_ratio
from realmaster_live.training.distillation.sequence_statistics import (
    chroma,
    drift,
    temporal_variance,
    texture,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatesConfig:
    """The limit of each metric; inf disables a gate.

    Attributes:
        error: mean squared error relative to the render's.
        chroma: |log ratio| of mean chroma to the truth's; 0.15 is 16 % too much.
        temporal_variance: |log ratio| of the variance over time to the truth's.
        texture: |log ratio| of the differences between neighbours to the truth's.
        drift: change of colour and contrast relative to the truth's, from a rollout's first third
            to its last, in standard deviations of the truth.
        clips: maximum number of validation clips.
    """

    error: float = 1.0
    chroma: float = 0.15
    temporal_variance: float = 0.35
    texture: float = 0.35
    drift: float = 0.1
    clips: int = 16

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ConfigError(
                f"expected clips of 1 or more in [gates], got {self.clips}: a limit of inf "
                "switches a gate off"
            )

    def limits(self) -> dict[str, float]:
        """Return metric -> limit."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name in NAMES}


NAMES = ("error", "chroma", "temporal_variance", "texture", "drift")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gates' verdict on a student.

    Attributes:
        figures: metric -> value. limits: metric -> largest value that passes.
        space: what all metrics but the error were computed on: "pictures" or "latents".
    """

    figures: dict[str, float]
    limits: dict[str, float]
    space: str

    @property
    def failed(self) -> tuple[str, ...]:
        """Return the names of the failed gates; NaN fails."""
        return tuple(n for n, value in self.figures.items() if not value <= self.limits[n])

    @property
    def distance(self) -> float:
        """Return the mean ratio of value to limit; lower is better."""
        finite = {n: v for n, v in self.limits.items() if 0.0 < v < math.inf}
        shares = [self.figures[name] / limit for name, limit in finite.items()]
        return sum(shares) / len(shares) if shares else self.figures["error"]

    def better_than(self, other: Verdict | None) -> bool:
        """Return whether this student is better: it passes, or else its distance is smaller."""
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
        """Return the verdict as one line of text."""
        if not self.failed:
            return "all gates pass"
        shown = [f"{n} {self.figures[n]:.3g} (at most {self.limits[n]:g})" for n in self.failed]
        return f"failing gates: {', '.join(shown)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledOut:
    """A rollout with its truth and render, as latents and as the sequences to compare.

    Attributes:
        latents, truth_latents, render_latents: sequences of latents.
        measured, measured_truth: sequences of pictures, or of latents without a decoder.
    """

    latents: Tensor
    truth_latents: Tensor
    render_latents: Tensor
    measured: Tensor
    measured_truth: Tensor


@torch.no_grad()
def judge(rollouts: Iterable[RolledOut], config: GatesConfig, *, space: str) -> Verdict:
    """Return the verdict on a student's rollouts; each metric is the mean over them."""
    figures: dict[str, list[float]] = {name: [] for name in NAMES}
    for each in rollouts:
        error = (each.latents - each.truth_latents).square().mean()
        own = (each.render_latents - each.truth_latents).square().mean()
        figures["error"].append(float(error / own.clamp_min(1e-12)))
        for measure in (chroma, temporal_variance, texture):
            ratio = log_ratio(measure(each.measured), measure(each.measured_truth))
            figures[measure.__name__].append(float(ratio.mean()))
        figures["drift"].append(float(drift(each.measured, each.measured_truth).mean()))
    means = {name: sum(values) / len(values) for name, values in figures.items()}
    return Verdict(
        figures={name: abs(value) for name, value in means.items()},
        limits=config.limits(),
        space=space,
    )
