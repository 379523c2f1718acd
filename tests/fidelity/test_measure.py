"""Scores mean what they say: on real frames, whole ones and ones that were spoilt on purpose."""

import math
from dataclasses import replace

import numpy as np
import pytest
from corruptions import CORRUPTIONS

from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.measure import measure
from realmaster_live.fidelity.regions import find_regions
from realmaster_live.fidelity.thresholds import Thresholds

KINDS = ("edges", "depth_order", "semantics", "boxes", "lights")


def labels_of(chunk, index):
    return {name: label[index] for name, label in chunk.labels.items()}


def judged(chunk, index, picture=None, **options):
    picture = chunk.frames[index] if picture is None else picture
    return measure(
        chunk.rendered[index], picture, labels_of(chunk, index), chunk.objects[index], **options
    )


def spoilt(chunk, index, kind, seed=0):
    regions = find_regions(labels_of(chunk, index))
    return CORRUPTIONS[kind](chunk.frames[index], regions, seed)


def test_the_render_is_as_good_as_itself(realized):
    chunk = realized[0]
    trust = judged(chunk, 0, chunk.rendered[0])
    assert {name: getattr(trust, name) for name in KINDS} == pytest.approx(dict.fromkeys(KINDS, 1))
    assert trust.score == pytest.approx(1)
    assert len(trust.instances) >= 4
    for thing in trust.instances:
        assert thing.score == pytest.approx(1)
        mask = chunk.labels["instance"][0] & 0xFFFF == thing.mask_id
        assert thing.pixels == mask.sum()


def test_what_the_shipped_model_makes_passes(realized):
    for chunk in realized:
        for index in range(len(chunk)):
            trust = judged(chunk, index)
            assert Thresholds().failures(trust) == ()
            assert min(trust.edges, trust.depth_order, trust.boxes) > 0.8


# what must fall, and what must stay where it was
@pytest.mark.parametrize(
    ("kind", "falls", "stays"),
    [
        ("shifted", {"depth_order"}, {"semantics"}),
        ("erased", {"boxes"}, {"edges", "lights", "semantics"}),
        ("contoured", {"edges"}, {"semantics", "boxes"}),
        ("swapped", {"edges", "semantics"}, {"lights", "boxes"}),
        ("recoloured", {"lights"}, {"edges", "depth_order", "semantics", "boxes"}),
        ("blurred", {"edges", "boxes"}, {"semantics"}),
        ("mirrored", {"edges", "depth_order", "boxes"}, set()),
    ],
)
def test_each_untruth_lowers_its_own_score(realized, kind, falls, stays):
    chunk = realized[0]
    whole, trust = judged(chunk, 0), judged(chunk, 0, spoilt(chunk, 0, kind, seed=3))
    for name in falls:
        assert getattr(trust, name) < 0.85 * getattr(whole, name), name
    for name in stays:
        assert getattr(trust, name) > 0.85 * getattr(whole, name), name
    assert Thresholds().failures(trust)


def test_an_erased_thing_is_named(realized):
    chunk = realized[0]
    regions = find_regions(labels_of(chunk, 0))
    picture = spoilt(chunk, 0, "erased")
    changed = np.abs(picture.astype(int) - chunk.frames[0]).max(-1) > 0
    trust = judged(chunk, 0, picture)
    lost = [thing for thing in trust.instances if Thresholds().thing_fails(thing)]
    assert len(lost) == 1
    part = regions.numbers[changed & (regions.numbers == part_of(regions, lost[0].mask_id))]
    assert len(part) == lost[0].pixels
    assert lost[0].edges < 0.3 and lost[0].score == lost[0].edges
    assert Thresholds().failures(trust) == (f"thing {lost[0].mask_id}",)


def part_of(regions, mask_id):
    return int(np.flatnonzero(regions.mask_ids == mask_id)[0])


def test_what_has_no_label_is_nan(realized):
    chunk = realized[0]
    only = {name: {name: chunk.labels[name][0]} for name in chunk.labels}

    def scores(labels, objects=()):
        trust = measure(chunk.rendered[0], chunk.frames[0], labels, objects)
        return {name for name in KINDS if not math.isnan(getattr(trust, name))}

    assert scores(only["semantic"]) == {"edges", "semantics"}
    assert scores(only["instance"]) == {"edges", "semantics", "boxes", "lights"}
    assert scores(only["semantic"] | only["depth"]) == {"edges", "semantics", "depth_order"}
    with pytest.raises(ConfigError, match="semantic or instance to judge pictures by, got depth"):
        scores(only["depth"])
    with pytest.raises(ConfigError, match="got none: capture them with --labels"):
        scores({})


def test_a_light_is_judged_by_the_simulator_or_else_by_the_render(realized):
    chunk = realized[0]
    labels, picture = labels_of(chunk, 0), spoilt(chunk, 0, "recoloured")
    rendered = chunk.rendered[0]
    assert measure(rendered, picture, labels, chunk.objects[0]).lights == 0
    assert measure(rendered, picture, labels, ()).lights == 0
    wrong = tuple(replace(thing, light="green") for thing in chunk.objects[0])
    assert math.isnan(measure(rendered, picture, labels, wrong).lights)  # it does not show so


def test_a_light_that_went_out_fails(realized):
    chunk = realized[0]
    picture = chunk.frames[0].copy()
    mask = chunk.labels["semantic"][0] == 7
    picture[mask] = picture[mask].mean(1, keepdims=True)
    assert judged(chunk, 0, picture).lights == 0


def test_an_other_weather_leaves_looks_unjudged(realized):
    trust = judged(realized[0], 0, look=False)
    assert math.isnan(trust.semantics)
    assert trust.edges > 0.9


def test_small_things_get_no_scores(realized):
    trust = judged(realized[0], 0, min_pixels=10**6)
    assert math.isnan(trust.boxes)
    assert all(math.isnan(thing.edges) for thing in trust.instances)
    assert trust.lights > 0.9  # of a light only its lamp must be large enough


def test_thresholds_refuse_what_is_no_share():
    with pytest.raises(ConfigError, match="threshold edges from 0 to 1, got 1"):
        Thresholds(edges=1.5)
    with pytest.raises(ConfigError, match="min_pixels of 1 or more, got 0"):
        Thresholds(min_pixels=0)


@pytest.mark.parametrize("size", [(32, 64), (37, 61)])
def test_any_size_is_judged(size):
    """Also where a thing covers the picture from side to side, or all of it."""
    rng = np.random.default_rng(0)

    def patches(low, high, dtype):
        cells = rng.integers(low, high, (4, 4))
        return np.kron(cells, np.ones((16, 16)))[: size[0], : size[1]].astype(dtype)

    picture = rng.integers(0, 256, (*size, 3), np.uint8)
    for labels in (
        {"instance": patches(12 << 16, 15 << 16, np.int32), "depth": patches(1, 9, np.float32)},
        {"instance": np.full(size, 14 << 16 | 1, np.int32)},
        {"semantic": np.full(size, 11, np.uint8), "depth": np.full(size, np.inf, np.float32)},
    ):
        trust = measure(picture, picture, labels, min_pixels=1)
        assert math.isnan(trust.score) or trust.score == pytest.approx(1)
