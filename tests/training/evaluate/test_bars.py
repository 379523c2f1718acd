import pytest

from realmaster_live.training.evaluate.bars import Bar, bars_of, table

RESULT = {
    "render": {"psnr_db": 18.0, "features": 1.0},
    "realized": {"psnr_db": 26.5, "features": 0.6},
    "warp": {"render": 0.002, "realized": 0.00125, "truth": 0.001},
    "drift": {
        "seconds": 60.0,
        "colour_percent": 1.0,
        "worst_colour_percent": 2.0,
        "contrast_percent": 9.0,
        "worst_contrast_percent": 11.0,
        "percent_a_minute": -1.5,
        "percent_a_minute_low": -1.75,
        "percent_a_minute_high": -1.25,
    },
    "lights": {"kept": 0.96, "judged": 50, "readable": 60},
    "looks": {
        "B": {
            "gain_db": 6.0,
            "gain_a_db": 8.0,
            "clips": 3,
            "render_db": 15.0,
            "realized_db": 21.0,
            "render_features": 1.4,
        },
        "drawn-7": {
            "gain_db": 4.0,
            "gain_a_db": 8.0,
            "clips": 2,
            "render_db": 15.0,
            "realized_db": 19.0,
            "render_features": 1.5,
        },
        "A-aliased": {
            "gain_db": 7.0,
            "gain_a_db": 8.0,
            "clips": 3,
            "render_db": 17.5,
            "realized_db": 24.5,
            "render_features": 1.25,
        },
    },
    "prompted": {"rain": {"recognised": 1.0, "truth_recognised": 1.0, "chunks": 8}},
}


def verdicts(result):
    return {bar.name: (bar.value, bar.verdict) for bar in bars_of(result)}


def test_every_bar_is_held_to_its_limit():
    found = verdicts(RESULT)
    assert found == {
        "feature distance relative to the render's": (0.6, "passed"),
        "PSNR over the render": (8.5, "passed"),
        "feature distance relative to the aliased render's": (pytest.approx(0.48), "passed"),
        "PSNR over the aliased render": (9.0, "passed"),
        "gain in look B relative to look A": (0.75, "passed"),
        "gain in look drawn-7 relative to look A": (0.5, "missed"),
        "flow-warp error relative to the truth's": (pytest.approx(1.25), "passed"),
        "drift of mean colour in 60 s": (2.0, "passed"),
        "drift of contrast in 60 s": (11.0, "missed"),
        "trend of mean colour in 60 s": (1.5, "missed"),
        "rain recognised": (100.0, "passed"),
        "snow recognised": (None, "not measured"),
        "fog recognised": (None, "not measured"),
        "night recognised": (None, "not measured"),
        "traffic lights kept": (96.0, "missed"),
    }


def test_bars_that_the_clips_cannot_measure_are_not_passed():
    result = {key: value for key, value in RESULT.items() if key not in ("looks", "prompted")}
    result["lights"] = {"kept": None, "judged": 0, "readable": 0}
    found = verdicts(result)
    for name in ("gain in look B relative to look A", "rain recognised", "traffic lights kept"):
        assert found[name] == (None, "not measured")


def test_the_table_names_value_limit_and_verdict():
    lines = table([Bar(name="gain", value=7.25, bar=8.0, unit="dB", note="why")]).split("\n")
    assert [line.split() for line in lines] == [
        ["gain", "7.25", "dB", ">=", "8", "dB", "missed", "why"]
    ]
