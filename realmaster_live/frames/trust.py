"""How far a realized picture keeps to the simulator's labels.

All scores run from 0, nothing of it is there, to 1, as good as the rendered picture; NaN where
there was nothing to judge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["passed", "retried", "blended", "quarantined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceTrust:
    """One thing's scores.

    Attributes:
        mask_id: low 16 bits of its instance label. pixels: of its mask.
        edges: agreement of its outline. semantics: of its class. light: 1 where a traffic light
            shows its colour, 0 where it shows another.
        score: the lowest of those that are not NaN.
    """

    mask_id: int
    pixels: int
    edges: float
    semantics: float
    light: float
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTrust:
    """One picture's scores.

    Attributes:
        edges, depth_order, semantics, boxes, lights: of the whole picture.
        score: the lowest of those that are not NaN.
        verdict: what the gate did. attempts: how often the chunk was realized.
        instances: of every thing that is large enough to be judged.
    """

    edges: float
    depth_order: float
    semantics: float
    boxes: float
    lights: float
    score: float
    verdict: Verdict = "passed"
    attempts: int = 1
    instances: tuple[InstanceTrust, ...] = ()


def trust_facts(trust: FrameTrust) -> dict[str, Any]:
    """Return the scores of a frame; those that could not be judged are None."""
    scores = ("score", "edges", "depth_order", "semantics", "boxes", "lights")
    return {
        **{name: number(getattr(trust, name)) for name in scores},
        "verdict": trust.verdict,
        "attempts": trust.attempts,
    }


def number(value: float) -> float | None:
    """Return a float for JSON, with None for NaN."""
    return None if math.isnan(value) else float(value)
