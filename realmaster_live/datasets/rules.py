"""The rules that decide which labels a data set keeps, for rendered and realized pictures alike.

Trust is measured on the realized picture but applies to both. The `sim`, `real` and `paired`
exports of the same recordings have the same frames and the same labels, including ignored ones, so
that networks trained on them differ by the pictures alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from realmaster_live.annotations import Annotation
from realmaster_live.annotations.masks import RIDER
from realmaster_live.datasets.options import Fate, Rules
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.trust import FrameTrust
from realmaster_live.recording.sample import Sample

LOW_TRUST = "low trust"
OWN_VEHICLE = "the vehicle with the camera"
VEHICLES = frozenset(
    CLASS_IDS[name] for name in ("car", "truck", "bus", "train", "motorcycle", "bicycle")
)


class Decision(NamedTuple):
    """Whether a label is kept, ignored or dropped, and the reason."""

    fate: Fate
    reason: str = ""


KEEP = Decision("keep")


def judge(annotation: Annotation, trust: Mapping[int, float], rules: Rules) -> Decision:
    """Return whether an annotation is kept, ignored or dropped.

    Args:
        annotation: an annotation of a picture.
        trust: `trust_by_mask` of the same picture.
        rules: the rules to apply.
    """
    one = annotation
    if one.pixels < 1:
        return Decision("drop", "no visible pixel")
    if one.thing is None and one.class_id != RIDER:
        if one.class_id in VEHICLES and one.distance_m < rules.own_vehicle_m:
            return Decision("drop", OWN_VEHICLE)
        if rules.unlisted != "keep":
            return Decision(rules.unlisted, "object not listed")
    for wrong, reason in (
        (trust.get(one.mask_id, math.inf) < rules.min_trust, LOW_TRUST),
        (one.pixels < rules.min_pixels, "too few pixels"),
        (one.occlusion > rules.max_occlusion, "hidden"),
        (one.truncation > rules.max_truncation, "cut off"),
        (one.distance_m > rules.max_distance_m, "too far"),
    ):
        if wrong:
            return Decision("ignore", reason)
    return KEEP


def trust_by_mask(trust: FrameTrust | None) -> Mapping[int, float]:
    """Return mask_id -> lowest score of its instances; those that were not judged are left out."""
    scores: dict[int, float] = {}
    for one in trust.instances if trust is not None else ():
        if not math.isnan(one.score):
            scores[one.mask_id] = min(one.score, scores.get(one.mask_id, math.inf))
    return scores


def exclusion_reason(sample: Sample, rules: Rules) -> str:
    """Return the reason why a picture is left out, or "" if it is kept."""
    return distrust_of(sample.trust, rules)


def distrust_of(trust: FrameTrust | None, rules: Rules) -> str:
    """Return the reason why a picture with this trust is left out, or "" if it is kept."""
    if trust is None:
        return ""
    if trust.verdict == "quarantined":
        return "quarantined"
    return LOW_TRUST if trust.score < rules.min_frame_trust else ""
