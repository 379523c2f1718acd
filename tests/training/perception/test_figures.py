import math

import pytest

from realmaster_live.training.perception.figures import (
    as_text,
    bars,
    compare,
    estimate,
    share_interval,
    student,
)

TEST = "path-traced, other towns"


def result(variant, seed, road, car, task="segmentation"):
    figures = {"road": road, "vehicle": car}
    return {
        "variant": variant,
        "seed": seed,
        "task": task,
        "tests": {TEST: {"figures": figures}},
    }


RESULTS = [
    result("sim", 0, 60.0, 20.0),
    result("sim", 1, 62.0, 22.0),
    result("sim", 2, 64.0, 24.0),
    result("real", 0, 70.0, 30.0),
    result("real", 1, 72.0, 34.0),
    result("real", 2, 74.0, 32.0),
    result("truth", 0, 75.0, 35.0),
    result("truth", 1, 77.0, 37.0),
    result("truth", 2, 79.0, 39.0),
    result("truth", 0, 1.0, 1.0, "detection"),
]


def test_student_is_the_tables():
    known = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 10: 2.228, 20: 2.086, 60: 2.000}
    assert all(student(freedom) == pytest.approx(t, abs=6e-4) for freedom, t in known.items())


def test_an_interval_is_of_the_mean_over_seeds():
    value = estimate([40.0, 42.0, 44.0])
    assert value.mean == 42.0
    assert value.half_width == pytest.approx(4.3027 * 2.0 / math.sqrt(3))
    assert str(value) == "42.0 ± 5.0"
    assert str(estimate([40.0])) == "40.0"


def test_gains_are_taken_seed_by_seed_and_the_gap_of_the_means():
    comparison = compare(RESULTS, "segmentation", TEST)
    assert list(comparison.means) == ["sim", "real", "truth"]
    assert comparison.means["sim"].mean == 42.0
    gain = comparison.gains["real"]
    assert gain.mean == pytest.approx(10.0) and "sim" not in comparison.gains
    # 10, 11 and 9 points: far surer than the means themselves
    assert gain.half_width == pytest.approx(4.3027 / math.sqrt(3), rel=1e-3)
    assert comparison.recovered == {"real": pytest.approx(10 / 15)}
    assert comparison.classes["real"]["vehicle"].mean == 32.0
    facts = comparison.facts()
    assert facts["gain"]["truth"] == [15.0, 0.0] and facts["recovered"]["real"] == 0.6667


def test_the_bars_say_whether_they_are_reached():
    assert [bar.reached for bar in bars(compare(RESULTS, "segmentation", TEST))] == [True, True]
    worse = [
        result("real", r["seed"], 61.0, 27.0) if r["variant"] == "real" else r for r in RESULTS
    ]
    comparison = compare(worse, "segmentation", TEST)
    assert [bar.reached for bar in bars(comparison)] == [False, False]
    text = as_text(comparison)
    assert "MISSED: realized beats sim by at least 5 points of mIoU: 2.0" in text
    assert text.splitlines()[1].split() == ["IoU,", "percent", "sim", "real", "truth"]
    without = [each for each in RESULTS if each["variant"] != "truth"]
    assert bars(compare(without, "segmentation", TEST)) == []


def test_there_is_no_share_of_a_gap_that_is_not_there():
    equal = [result(v, s, 50.0, 50.0 + s) for v in ("sim", "real", "truth") for s in (0, 1)]
    comparison = compare(equal, "segmentation", TEST)
    assert math.isnan(comparison.recovered["real"])
    text = as_text(comparison)
    assert "gap recovered" in text and "there is no gap" in text and "nan" not in text
    assert "-0.0" not in str(estimate([-0.01, -0.02]))


def test_the_share_of_the_gap_has_fiellers_interval():
    gains, gaps = [6.0, 7.0, 8.0, 7.0, 6.5], [9.0, 10.5, 10.0, 9.5, 10.0]
    low, high = share_interval(gains, gaps)
    share = sum(gains) / sum(gaps)
    assert low < share < high < 1
    # the bounds are where the mean of gain - share * gap is just significant
    for bound in (low, high):
        rest = [a - bound * b for a, b in zip(gains, gaps, strict=True)]
        found = estimate(rest)
        assert abs(found.mean) == pytest.approx(found.half_width, rel=1e-6)
    assert share_interval([2.0, 2.0, 2.0], [4.0, 4.0, 4.0]) == pytest.approx((0.5, 0.5))
    for unbounded in (share_interval([1.0], [2.0]), share_interval([1.0, 2.0], [-1.0, 1.5])):
        assert all(math.isnan(bound) for bound in unbounded)
    comparison = compare(RESULTS, "segmentation", TEST)
    low, high = comparison.recovered_intervals["real"]
    assert low <= comparison.recovered["real"] <= high
    assert "its interval" in as_text(comparison)
