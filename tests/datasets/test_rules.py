"""What the rule keeps, ignores and drops."""

import math
from dataclasses import replace

import numpy as np
import pytest

from realmaster_live.annotations import Annotation
from realmaster_live.datasets.options import Rules
from realmaster_live.datasets.rules import judge, trust_by_mask
from realmaster_live.errors import ConfigError
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.objects import SceneObject
from realmaster_live.frames.trust import FrameTrust, InstanceTrust

THING = SceneObject(
    object_id=1, class_id=14, type_id="car", size=np.ones(3), object_to_world=np.eye(4),
    velocity=np.zeros(3),
)  # fmt: skip
CAR = Annotation(
    thing=THING, class_id=14, mask_id=9, amodal=(0, 0, 20, 10), visible=(0, 0, 20, 10),
    pixels=150, occlusion=0.2, truncation=0.1, distance_m=20.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "fate", "reason"),
    [
        ({}, "keep", ""),
        ({"pixels": 0, "visible": None}, "drop", "no visible pixel"),
        ({"pixels": 19}, "ignore", "too few pixels"),
        ({"pixels": 20}, "keep", ""),
        ({"occlusion": 0.91}, "ignore", "hidden"),
        ({"truncation": 0.91}, "ignore", "cut off"),
        ({"distance_m": 61.0}, "ignore", "too far"),
        ({"mask_id": 8}, "ignore", "low trust"),
        ({"mask_id": 7}, "keep", ""),
        ({"thing": None}, "keep", ""),
        ({"thing": None, "distance_m": 2.0}, "drop", "the vehicle with the camera"),
        ({"thing": None, "distance_m": 2.0, "class_id": CLASS_IDS["pedestrian"]}, "keep", ""),
    ],
)
def test_fates(change, fate, reason):
    rules = Rules(max_distance_m=60.0)
    assert judge(replace(CAR, **change), {8: 0.49, 7: 0.5}, rules) == (fate, reason)


def test_masks_that_are_not_listed_follow_the_rule_but_riders_do_not():
    unlisted = replace(CAR, thing=None)
    assert judge(unlisted, {}, Rules(unlisted="ignore")) == ("ignore", "object not listed")
    assert judge(unlisted, {}, Rules(unlisted="drop")).fate == "drop"
    rider = replace(unlisted, class_id=CLASS_IDS["rider"])
    assert judge(rider, {}, Rules(unlisted="drop")).fate == "keep"


def test_the_lowest_score_of_a_mask_counts_and_nan_does_not():
    def one(score):
        return InstanceTrust(mask_id=3, pixels=9, edges=1, semantics=1, light=1, score=score)

    trust = FrameTrust(
        edges=1, depth_order=1, semantics=1, boxes=1, lights=1, score=1,
        instances=(one(0.9), one(math.nan), one(0.4)),
    )  # fmt: skip
    assert trust_by_mask(trust) == {3: 0.4} and trust_by_mask(None) == {}


def test_the_rule_is_stated_in_words():
    words = " ".join(Rules(min_pixels=33, max_occlusion=0.75, unlisted="drop").in_words())
    assert "fewer than 33 pixels" in words and "more than 75%" in words and ": drop." in words


@pytest.mark.parametrize("wrong", [{"min_trust": 1.5}, {"max_occlusion": -0.1}, {"min_pixels": -1}])
def test_rules_out_of_range(wrong):
    with pytest.raises(ConfigError, match=r"from 0 to 1|of 0 or more"):
        Rules(**wrong)
