"""The parts of a judgement, against values by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from realmaster_live.fidelity.boxes import box_scores
from realmaster_live.fidelity.depth_order import (
    GRID_STEP,
    MIN_DEPTH_RATIO,
    PAIRS,
    border_order,
    ordinal_agreement,
)
from realmaster_live.fidelity.edges import edge_score, thing_scores
from realmaster_live.fidelity.judge import Prediction
from realmaster_live.fidelity.lights import light_score
from realmaster_live.fidelity.profiles import DISPLACEMENTS
from realmaster_live.fidelity.regions import find_outline
from realmaster_live.fidelity.semantics import appearance_scores, class_scores


def pixels(*colours_and_counts):
    return np.concatenate([np.full((n, 3), colour, np.uint8) for colour, n in colours_and_counts])


def test_a_lights_score_is_its_glow_and_its_share_of_the_colours():
    render = pixels(((255, 50, 30), 10), ((40, 40, 40), 5))  # red above all else by 205 levels
    assert light_score(render, render, "red") == 1
    dim = pixels(((80, 30, 25), 10), ((40, 40, 40), 5))  # by 50: a quarter of 2050 would do
    assert light_score(render, dim, "red") == pytest.approx(500 / 512.5)
    mixed = pixels(((80, 30, 25), 10), ((40, 230, 120), 3), ((0, 0, 0), 2))  # green by 190, thrice
    assert light_score(render, mixed, "red") == pytest.approx(500 / 512.5 * 500 / (500 + 570))
    assert light_score(render, pixels(((40, 40, 40), 15)), "red") == 0
    assert np.isnan(light_score(render, render, "green")), "the render does not show it"


def test_edges_are_an_f1_beyond_chance():
    rendered, realized = np.zeros((2, 100, 100), np.uint8)
    rendered[:, [20, 70]] = 90
    realized[:, [20, 50]] = 90  # one of two found, and one of two true
    border = rendered > 0
    chance = 6 / 100  # within a pixel of an edge
    assert edge_score(rendered, realized, border) == pytest.approx((0.5 - chance) / (1 - chance))
    assert edge_score(rendered, rendered, border) == 1
    assert edge_score(rendered, np.zeros_like(rendered), border) == 0


def profile(own, beside):
    away = np.abs(DISPLACEMENTS)
    return np.where(away <= 1, own, np.where(away >= 3, beside, 0.0))[None]


def test_a_things_score_is_the_share_of_its_contrast_that_is_left():
    rendered, realized = profile(8, 2), profile(4, 2)  # contrast 10 / 14 and 6 / 10
    [found] = thing_scores(rendered, realized)
    assert found == pytest.approx((0.6 - 0.5) / (10 / 14 - 0.5))
    assert np.isnan(thing_scores(profile(2, 2), realized)).all(), "the render has no outline"


def test_a_boxs_score_is_its_overlap_and_the_share_of_its_sides():
    at = {lag: np.where(lag == DISPLACEMENTS, 60.0, 0.0) for lag in (0, 2)}
    rendered = np.stack([at[0]] * 4)[None]
    realized = np.stack([at[0], at[2], at[0], at[0]])[None]  # left, right, top, bottom
    counts, boxes = np.full((1, 4), 10), np.array([[10.0, 10, 30, 30]])
    assert box_scores(rendered, rendered, counts, boxes) == pytest.approx([1])
    assert box_scores(rendered, realized, counts, boxes) == pytest.approx([400 / 440])
    realized[0, 2] = 0  # the top is gone
    assert box_scores(rendered, realized, counts, boxes) == pytest.approx([400 / 440 * 3 / 4])


def test_a_class_is_the_ratio_of_its_probability():
    judge = SimpleNamespace(group_of=np.array([0, 1]))
    numbers = np.repeat(np.int32([0, 1, 2]), 4)[None].repeat(4, 0)  # parts of classes 0, 0 and 1

    def seen(*shares):
        one = np.repeat(np.float32(shares), 4)[None].repeat(4, 0)
        share = np.stack([np.where(numbers < 2, one, 1 - one), np.where(numbers < 2, 1 - one, one)])
        return Prediction(share=share, log_depth=np.zeros(numbers.shape, np.float32))

    scores = class_scores(
        judge, seen(0.8, 0.5, 0.2), seen(0.4, 0.9, 0.2), numbers, np.array([0, 0, 1])
    )
    assert scores[:2] == pytest.approx([0.5, 1.0]) and np.isnan(scores[2])


def test_looks_are_compared_beyond_one_gain_and_offset():
    rendered = np.array([[100.0, 128, 100, 10], [200, 128, 100, 10]])
    counts = np.array([500, 500])
    lighter = rendered + np.array([30, 0, 0, 0])
    assert appearance_scores(rendered, lighter, counts) == pytest.approx([1, 1])
    tinted = rendered + np.array([[0, 0, -10, 0], [0, 0, 10, 0]])  # one warmer, the other colder
    assert appearance_scores(rendered, tinted, counts) == pytest.approx([1 - 10 / 40] * 2)
    assert np.isnan(appearance_scores(rendered, tinted, np.array([500, 20]))[1])


def test_pairs_of_pixels_keep_their_order():
    draw = np.random.default_rng(0)
    depth = draw.uniform(2, 40, (24, 32)).astype(np.float32)
    seen = (np.log(depth) + draw.normal(0, 0.8, depth.shape)).astype(np.float32)
    right = total = 0
    for down, across in PAIRS:
        for y in range(0, 24 - down, GRID_STEP):
            for x in range(max(0, -across), 32 - max(0, across)):
                if (x - max(0, -across)) % GRID_STEP:
                    continue
                one, other = (y, x), (y + down, x + across)
                if max(depth[one], depth[other]) > MIN_DEPTH_RATIO * min(depth[one], depth[other]):
                    right += (depth[other] > depth[one]) == (seen[other] > seen[one])
                    total += 1
    assert ordinal_agreement(depth, seen) == pytest.approx(2 * right / total - 1)
    assert ordinal_agreement(depth, np.log(depth)) == 1
    assert ordinal_agreement(depth, -np.log(depth)) == 0


def test_half_of_a_border_is_a_third_beyond_chance():
    numbers = np.zeros((240, 64), np.int32)
    numbers[:, 32:] = 1
    depth = np.where(numbers == 0, 5.0, 50.0).astype(np.float32)
    rendered = np.full((240, 64, 3), 40, np.uint8)
    rendered[:, 32:] = 200
    realized = rendered.copy()
    realized[120:] = 90  # below, nothing tells the two sides apart
    outline = find_outline(numbers)
    assert border_order(rendered, rendered, depth, numbers, outline) == 1
    half = border_order(rendered, realized, depth, numbers, outline)
    assert half == pytest.approx((0.5 - 0.25) / 0.75, abs=0.02)
