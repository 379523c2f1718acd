"""The rules of the gate: the limits of the figures of a clip, and the fault beyond each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from realmaster_live.errors import ConfigError

Limit = float | Literal[False]
"""False switches a rule off."""

AT_LIMIT = 0.5  # weight of a clip that just passes; one at half of its limits, or better, has 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One limit.

    Attributes:
        key: of the limit in [gate]; it begins with min_ or max_.
        metric: the figure it is about.
        name: what the figure is called in a sentence.
        fault: what is wrong with a clip beyond the limit.
    """

    key: str
    metric: str
    name: str
    fault: str

    def slack(self, value: float, limit: float) -> float:
        """Return how far a value is on the good side of a limit, as a share of it or of the rest.

        Figures with a lower limit are shares or cosines, of which 1 is best.
        """
        if self.key.startswith("max_"):
            return (limit - value) / limit if limit > 0 else 1.0 if value <= limit else -1.0
        return (value - limit) / max(1 - limit, 1e-6)

    def reason(self, value: float, limit: float) -> str:
        """Return the reason why a clip failed, in one sentence."""
        side = "above" if self.key.startswith("max_") else "below"
        return f"{self.name} is {value:.3g}, {side} the limit of {limit:.3g}: {self.fault}"


RULES = (
    Rule(
        key="max_black",
        metric="black",
        name="the share of black frames",
        fault="the clip was not made there",
    ),
    Rule(
        key="max_frozen",
        metric="frozen",
        name="the share of frozen frames",
        fault="frames repeat the one before while the source moves on",
    ),
    Rule(
        key="min_sharpness",
        metric="sharpness",
        name="the sharpness relative to the source",
        fault="the clip is blurred",
    ),
    Rule(
        key="max_shift_px",
        metric="shift_px",
        name="the shift in pixels",
        fault="the clip is misaligned with its source",
    ),
    Rule(
        key="min_edge_f1",
        metric="edge_f1",
        name="the edge F1",
        fault="edges are not where the source has them",
    ),
    Rule(
        key="min_worst_edge_f1",
        metric="worst_edge_f1",
        name="the edge F1 of the worst frame",
        fault="one frame or more shows something else than the source",
    ),
    Rule(
        key="max_warp_ratio",
        metric="warp_ratio",
        name="the flow-warp error relative to the source",
        fault="the clip flickers along the source's motion",
    ),
    Rule(
        key="max_palette_drift",
        metric="palette_drift",
        name="the drift of the palette in units of L*a*b*",
        fault="colours or light change in the clip where the source's do not",
    ),
    Rule(
        key="max_gradient_structure",
        metric="gradient_structure",
        name="the structure distance of gradient histograms",
        fault="parts of the picture relate to each other otherwise than in the source",
    ),
    Rule(
        key="max_dino_structure",
        metric="dino_structure",
        name="the structure distance of DINO's keys",
        fault="parts of the picture relate to each other otherwise than in the source",
    ),
    Rule(
        key="min_person_likeness",
        metric="person_likeness",
        name="the likeness of people to the source's",
        fault="people are missing, or are somebody else",
    ),
    Rule(
        key="min_face_similarity",
        metric="face_similarity",
        name="the cosine of faces with the source's",
        fault="people became somebody else",
    ),
    Rule(
        key="max_missed_faces",
        metric="missed_faces",
        name="the share of the source's faces without one in their place",
        fault="people lost their faces",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gate's verdict on a clip.

    Attributes:
        passed: whether it may be trained on.
        failed: keys of the rules that it broke. reasons: a sentence for each.
        metrics: every figure that was measured.
        weight: in [0, 1], 0 where it failed, 0.5 where it just passed.
    """

    passed: bool
    failed: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    weight: float = 1.0


def judge(metrics: Mapping[str, float], limits: Mapping[str, Limit]) -> Verdict:
    """Return the verdict on a clip; a rule without a limit or without its figure does not count."""
    failed, reasons, slacks = [], [], [1 - AT_LIMIT]
    for rule in RULES:
        limit = limits[rule.key]
        if limit is False or rule.metric not in metrics:
            continue
        value = metrics[rule.metric]
        slack = rule.slack(value, limit)
        slacks.append(slack)
        if not slack >= 0:  # a figure that is no number fails too
            failed.append(rule.key)
            reasons.append(rule.reason(value, limit))
    weight = 0.0 if failed else AT_LIMIT + min(slacks)
    return Verdict(
        passed=not failed,
        failed=tuple(failed),
        reasons=tuple(reasons),
        metrics=dict(metrics),
        weight=round(weight, 4),
    )


def check_limits(limits: Mapping[str, Limit]) -> None:
    """Raise ConfigError where a limit is no number of 0 or more, and not False."""
    for key, limit in limits.items():
        if limit is not False and (
            limit is True or not isinstance(limit, int | float) or limit < 0
        ):
            raise ConfigError(
                f"expected a number of 0 or more for {key} in [gate], or false to switch the rule "
                f"off, got {limit!r}: change its value"
            )
