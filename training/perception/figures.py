"""Statistics over runs: means with confidence intervals, differences, and the recovered gap.

The sample is over seeds. Differences of variants are paired by seed: both networks started with
the same weights and trained on the same crops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from realmaster_live.system.pages import aligned
from realmaster_live.training.perception.examples import REAL, SIM, TRUTH
from realmaster_live.training.perception.runs import VARIANTS
from realmaster_live.training.perception.tasks import MEASURES, SEGMENTATION, mean

# Student's t at 97.5 percent for 1, 2, ... degrees of freedom
STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)
BAR_POINTS, BAR_SHARE = 5.0, 0.5  # targets: gain over sim in mIoU, share of the gap to the truth


def student(freedom: int) -> float:
    """Return Student's t at 97.5 percent (Cornish and Fisher's expansion from 10 degrees on)."""
    if freedom <= len(STUDENT):
        return STUDENT[freedom - 1]
    z = NormalDist().inv_cdf(0.975)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds, and half the width of its 95 percent interval (NaN for one seed)."""

    mean: float
    half_width: float
    seeds: int

    def __str__(self) -> str:
        """Return text such as 41.2 ± 0.8."""
        middle = f"{self.mean:z.1f}"
        return middle if math.isnan(self.half_width) else f"{middle} ± {self.half_width:.1f}"


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of values, one for each seed, with its interval."""
    count = len(values)
    spread = float(np.std(values, ddof=1)) if count > 1 else math.nan
    half_width = student(count - 1) * spread / math.sqrt(count) if count > 1 else math.nan
    return Estimate(mean=float(np.mean(values)), half_width=half_width, seeds=count)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The results of all variants for one task on one test set.

    Attributes:
        means: variant -> mIoU or mAP in percent. classes: variant -> class -> percent.
        gains: variant -> difference from the sim variant in percentage points.
        recovered: variant -> (mean - sim) / (truth - sim); NaN where there is no gap.
        recovered_intervals: variant -> its 95 percent interval; NaN where it has no bounds.
    """

    task: str
    test: str
    means: Mapping[str, Estimate]
    classes: Mapping[str, Mapping[str, Estimate]]
    gains: Mapping[str, Estimate]
    recovered: Mapping[str, float]
    recovered_intervals: Mapping[str, tuple[float, float]]

    def facts(self) -> dict[str, Any]:
        """Return plain JSON values."""

        def both(value: Estimate) -> list[float]:
            return [round(value.mean, 3), round(value.half_width, 3)]

        return {
            "task": self.task,
            "test": self.test,
            "mean": {name: both(value) for name, value in self.means.items()},
            "gain": {name: both(value) for name, value in self.gains.items()},
            "recovered": {name: round(value, 4) for name, value in self.recovered.items()},
            "recovered_95": {
                name: [round(bound, 4) for bound in bounds]
                for name, bounds in self.recovered_intervals.items()
            },
            "classes": {
                name: {each: both(value) for each, value in classes.items()}
                for name, classes in self.classes.items()
            },
        }


def compare(results: Sequence[Mapping[str, Any]], task: str, test: str) -> Comparison:
    """Return a task's comparison on a test set; means are NaN if the set lacks the labels."""
    figures: dict[str, dict[int, dict[str, float]]] = {}
    for result in results:
        if result["task"] == task:
            by_seed = figures.setdefault(result["variant"], {})
            by_seed[result["seed"]] = result["tests"][test]["figures"]
    variants = [name for name in VARIANTS if name in figures]
    seeds = sorted(set.intersection(*(set(its) for its in figures.values())))
    means = {name: [mean(figures[name][seed]) for seed in seeds] for name in variants}
    classes = {
        name: {
            each: estimate([figures[name][seed][each] for seed in seeds])
            for each in figures[name][seeds[0]]
        }
        for name in variants
    }
    differences = {
        name: [a - b for a, b in zip(means[name], means[SIM], strict=True)]
        for name in variants
        if name != SIM and SIM in variants
    }
    gains = {name: estimate(values) for name, values in differences.items()}
    gap = gains[TRUTH].mean if TRUTH in gains else math.nan
    return Comparison(
        task=task,
        test=test,
        means={name: estimate(values) for name, values in means.items()},
        classes=classes,
        gains=gains,
        recovered={
            name: gains[name].mean / gap if gap > 0 else math.nan for name in gains if name != TRUTH
        },
        recovered_intervals={
            name: share_interval(differences[name], differences[TRUTH])
            for name in gains
            if name != TRUTH and TRUTH in gains
        },
    )


def share_interval(gains: Sequence[float], gaps: Sequence[float]) -> tuple[float, float]:
    """Return the 95 percent interval of mean gain over mean gap, paired by seed.

    By Fieller's theorem (1954, eq. 6). NaN for one seed, and where the gap may be 0: the share then
    has no bounds.
    """
    count = len(gains)
    if count < 2:
        return math.nan, math.nan
    covariance = np.cov(np.stack([gains, gaps]), ddof=1) / count
    (gain_variance, both), (_, gap_variance) = covariance.tolist()
    gain, gap, t2 = float(np.mean(gains)), float(np.mean(gaps)), student(count - 1) ** 2
    a = gap**2 - t2 * gap_variance
    b = gain * gap - t2 * both
    root = b**2 - a * (gain**2 - t2 * gain_variance)
    if a <= 0 or gap <= 0 or root < 0:
        return math.nan, math.nan
    return (b - math.sqrt(root)) / a, (b + math.sqrt(root)) / a


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A target, the measured value, and whether it is reached."""

    text: str
    figure: str
    reached: bool


def bars(comparison: Comparison) -> list[Bar]:
    """Return the two targets of segmentation; empty for other tasks or if a variant is missing."""
    if comparison.task != SEGMENTATION or not {REAL, TRUTH} <= set(comparison.gains):
        return []
    gain, share = comparison.gains[REAL], comparison.recovered[REAL]
    return [
        Bar(
            text=f"realized beats sim by at least {BAR_POINTS:.0f} points of mIoU",
            figure=f"{gain} points",
            reached=gain.mean >= BAR_POINTS,
        ),
        Bar(
            text=f"realized recovers at least {100 * BAR_SHARE:.0f} % of the gap to the truth",
            figure=_percent(share) or "there is no gap",
            reached=share >= BAR_SHARE,
        ),
    ]


def as_cells(comparison: Comparison) -> list[list[str]]:
    """Return the table's cells: header, a row for each class, then mean, gain and recovered gap."""
    measure = MEASURES[comparison.task]
    variants = list(comparison.means)
    return [
        [f"{measure}, percent", *variants],
        *(
            [name, *(str(comparison.classes[variant][name]) for variant in variants)]
            for name in comparison.classes[variants[0]]
        ),
        [f"mean {measure}", *map(str, comparison.means.values())],
        ["over sim, points", *(_signed(comparison.gains.get(name)) for name in variants)],
        ["gap recovered", *(_percent(comparison.recovered.get(name)) for name in variants)],
        ["its interval", *(_bounds(comparison.recovered_intervals.get(name)) for name in variants)],
    ]


def as_page(comparison: Comparison, labelled: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the lines of a table of Markdown, with how much of each class there is to judge by.

    `labelled` is of `examples.labelled`.
    """
    head, *rows = as_cells(comparison)
    if comparison.task == SEGMENTATION:
        title, amounts = "of all pixels", {k: f"{v:.2g} %" for k, v in labelled["pixels"].items()}
    else:
        title, amounts = "boxes", {k: f"{v:.0f}" for k, v in labelled["boxes"].items()}
    lines = [f"| {' | '.join([head[0], title, *head[1:]])} |", "|---" * (len(head) + 1) + "|"]
    for name, *cells in rows:
        lines.append(f"| {' | '.join([name, amounts.get(name, ''), *cells])} |")
    return lines


def as_text(comparison: Comparison) -> str:
    """Return the table that the command line prints."""
    rows = as_cells(comparison)
    return "\n".join(
        [
            f"{comparison.task} on {comparison.test}",
            *aligned(rows, left=0),
            *(
                f"{'reached' if bar.reached else 'MISSED'}: {bar.text}: {bar.figure}"
                for bar in bars(comparison)
            ),
        ]
    )


def _signed(value: Estimate | None) -> str:
    return "" if value is None else f"{'+' if value.mean > -0.05 else ''}{value}"


def _percent(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{100 * value:.0f} %"


def _bounds(values: tuple[float, float] | None) -> str:
    if values is None or math.isnan(values[0]):
        return ""
    return f"{100 * values[0]:.0f} to {100 * values[1]:.0f} %"
