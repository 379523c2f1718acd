"""Figures of drives against values by hand, and their intervals."""

import numpy as np
import pytest

from realmaster_live.training.evaluate.drives.figures import FIGURES
from realmaster_live.training.evaluate.drives.films import RENDER
from realmaster_live.training.evaluate.drives.summary import blocks, interval, resampled, summarize
from realmaster_live.training.evaluate.drives.track import BRIGHTNESS, CHANGE, STEP, WARP

FRAMES, CHUNK = 40, 4
STARTS = np.arange(FRAMES) % CHUNK == 0
NONE = np.full(FRAMES, np.nan)


def film(inside, border):
    change = np.where(STARTS, border, inside).astype(float)
    change[0] = np.nan
    return {CHANGE: change, WARP: change / 2, STEP: change, BRIGHTNESS: np.zeros(FRAMES)}


def summary(columns, **options):
    options = {"block": 8, "resamples": 200, "figures": FIGURES, **options}
    return summarize(columns, STARTS, np.zeros(FRAMES, int), **options)


def test_ratios_are_those_computed_by_hand():
    found = summary({RENDER: film(2.0, 2.0), "realized": film(2.0, 5.0)})
    mean = (30 * 2.0 + 9 * 5.0) / 39
    realized = found["realized"]
    assert realized["flicker ratio"].value == pytest.approx(mean / 2)
    assert realized["warp ratio"].value == pytest.approx(mean / 2)
    assert realized["warp error"].value == pytest.approx(mean / 2)
    for name in ("seam ratio", "warp seam ratio", "brightness seam ratio"):
        assert realized[name].value == pytest.approx(2.5)
        assert found[RENDER][name].value == pytest.approx(1.0)
        assert realized[name].against == pytest.approx(1.5)
        assert realized[name].differs and not found[RENDER][name].differs
    assert "edge F1" not in realized and "lights" not in realized


def test_equal_films_do_not_differ_and_intervals_hold_the_value():
    draw = np.random.default_rng(0)
    columns = film(2.0, 2.0)
    columns[CHANGE] = columns[CHANGE] + draw.random(FRAMES)
    noisy = dict(columns)
    noisy[CHANGE] = noisy[CHANGE] + draw.normal(0, 0.3, FRAMES)
    found = summary({RENDER: columns, "same": columns, "noisy": noisy})
    assert not found["same"]["flicker ratio"].differs
    for values in found.values():
        for value in values.values():
            low, high = value.interval
            assert low <= value.value + 1e-9 and value.value <= high + 1e-9
    wide, narrow = found["noisy"]["seam ratio"].interval, found["same"]["flicker ratio"].interval
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
    assert summary({RENDER: columns, "noisy": noisy}) == summary({RENDER: columns, "noisy": noisy})
    other = summary({RENDER: columns, "noisy": noisy}, seed=1)
    assert other["noisy"]["seam ratio"] != found["noisy"]["seam ratio"]


def test_a_block_holds_neighbours_of_one_drive():
    owners = blocks(np.repeat([0, 1], [10, 7]), 4)
    np.testing.assert_array_equal(owners, np.repeat(np.arange(5), [4, 4, 2, 4, 3]))


def test_with_several_drives_whole_ones_are_drawn():
    drives = np.repeat([0, 1, 2], 20)
    weights = resampled(blocks(drives, 4), drives, np.random.default_rng(0), 300)
    assert (weights[0] == 1).all() and (weights.sum(1) == 15).all()
    of_drives = weights[1:].reshape(300, 3, 5).sum(2)
    assert set(of_drives.ravel().tolist()) == {0, 5, 10, 15}, "each drawn drive has all its blocks"
    two = resampled(blocks(drives[:40], 4), drives[:40], np.random.default_rng(0), 300)
    assert (two.reshape(301, 2, 5).sum(2) % 5 != 0).any(), "of two drives only blocks are drawn"


def test_films_of_one_method_are_its_seeds():
    films = {f"vace#{n}": film(2.0, 2.0 + 3 * n) for n in range(3)}
    found = summary({RENDER: film(2.0, 2.0), **films})
    assert list(found) == [RENDER, "vace"]
    value = found["vace"]["seam ratio"]
    assert value.films == 3 and value.value == pytest.approx(np.mean([1, 2.5, 4]))
    assert value.spread == pytest.approx(1.5)
    low, high = value.interval
    assert low == pytest.approx(1) and high == pytest.approx(4), "an unlucky draw has one seed only"


def test_what_nothing_is_known_of_is_left_out():
    found = summary({RENDER: film(2.0, 2.0), "still": {CHANGE: NONE, BRIGHTNESS: NONE}})
    assert found["still"] == {}
    assert np.isnan(interval(np.array([np.nan]))).all()
