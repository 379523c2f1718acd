"""Which labels a dataset keeps: one stated rule, the same for rendered and realized pictures.

Trust is measured on the realized picture, but its verdict holds for both: a `sim`, a `real` and a
`paired` export of the same recordings have the same frames and the same labels, ignored ones
included, so that what is trained on them differs in the pictures alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from realmaster_live.annotations import Annotation
from realmaster_live.annotations.masks import RIDER
from realmaster_live.errors import ConfigError
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.trust import FrameTrust
from realmaster_live.recording.sample import Sample

LOW_TRUST = "low trust"
OWN_VEHICLE = "the own vehicle"
Fate = Literal["keep", "ignore", "drop"]
VEHICLES = frozenset(
    CLASS_IDS[name] for name in ("car", "truck", "bus", "train", "motorcycle", "bicycle")
)


class Decision(NamedTuple):
    """Whether a label is kept, ignored or dropped, and the reason."""

    fate: Fate
    reason: str = ""


KEEP = Decision("keep")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The thresholds.

    An ignored label is one that a detector is neither trained nor judged on: a crowd in COCO, a
    DontCare in KITTI, a group in Cityscapes, left out in YOLO.

    Attributes:
        min_trust: things of lower trust in the realized picture are ignored.
        min_frame_trust: pictures of lower trust are left out, as those that were quarantined.
        min_pixels: things of fewer visible pixels are ignored; those without any are dropped.
        max_occlusion, max_truncation: things that are hidden or cut off more are ignored.
        max_distance_m: things farther away are ignored.
        unlisted: whether masks are kept whose thing the simulator did not list.
        own_vehicle_m: a vehicle's mask without a thing, nearer than this, is of the vehicle that
            carries the camera, and dropped.
    """

    min_trust: float = 0.5
    min_frame_trust: float = 0.0
    min_pixels: int = 20
    max_occlusion: float = 0.9
    max_truncation: float = 0.9
    max_distance_m: float = math.inf
    unlisted: Fate = "keep"
    own_vehicle_m: float = 3.0

    def __post_init__(self) -> None:
        """Refuse shares outside 0 to 1."""
        for name in ("min_trust", "min_frame_trust", "max_occlusion", "max_truncation"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"expected {name} from 0 to 1, got {value}: give a share")

    def in_words(self) -> tuple[str, ...]:
        """Return the rule as sentences, for a dataset's README."""
        return (
            "Rendered and realized variants have the same frames and labels: trust, which is "
            "measured on the realized picture, counts for both.",
            f"Left out: pictures that the gate quarantined or whose trust is below "
            f"{self.min_frame_trust:g}.",
            "Dropped: things without a visible pixel; masks of the vehicle that carries the "
            f"camera (a vehicle without an actor nearer than {self.own_vehicle_m:g} m).",
            f"Ignored: things of trust below {self.min_trust:g}; with fewer than "
            f"{self.min_pixels} pixels; hidden by more than {self.max_occlusion:.0%}; cut off by "
            f"more than {self.max_truncation:.0%}; farther than {self.max_distance_m:g} m.",
            f"Masks whose thing the simulator did not list: {self.unlisted}.",
        )


def judge(annotation: Annotation, trust: Mapping[int, float], rules: Rules) -> Decision:
    """Return whether an annotation is kept, ignored or dropped.

    Args:
        annotation: of one picture.
        trust: that picture's `trust_by_mask`.
        rules: the thresholds.
    """
    one = annotation
    if one.pixels < 1:
        return Decision("drop", "no visible pixel")
    if one.thing is None and one.class_id != RIDER:
        if one.class_id in VEHICLES and one.distance_m < rules.own_vehicle_m:
            return Decision("drop", OWN_VEHICLE)
        if rules.unlisted != "keep":
            return Decision(rules.unlisted, "no thing is listed")
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
    """Return mask_id -> lowest score of its instances; NaN, nothing to judge, is left out."""
    scores: dict[int, float] = {}
    for one in trust.instances if trust is not None else ():
        if not math.isnan(one.score):
            scores[one.mask_id] = min(one.score, scores.get(one.mask_id, math.inf))
    return scores


def why_left_out(sample: Sample, rules: Rules) -> str:
    """Return why a picture is left out; "" for one that is kept."""
    trust = sample.trust
    if trust is None:
        return ""
    if trust.verdict == "quarantined":
        return "quarantined"
    return LOW_TRUST if trust.score < rules.min_frame_trust else ""
