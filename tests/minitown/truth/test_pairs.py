import json
from itertools import pairwise

import numpy as np
import pytest
from installed import needs

from realmaster_live.cli.command import parse
from realmaster_live.errors import ConfigError, PairError
from realmaster_live.minitown.truth import pairs

pytestmark = needs("mitsuba", "pyoidn")


def render(*arguments):
    """Run `realmaster pairs render`, with its errors as they are raised."""
    verb, options = parse(["pairs", "render", *arguments])
    assert verb(options) == 0


def test_a_plan_follows_from_its_seed():
    assert pairs.plan_drive(3, 0) == pairs.plan_drive(3, 0)
    plans = [pairs.plan_drive(seed, 0) for seed in range(8)]
    assert all(a.weather != b.weather for a, b in pairwise(plans))
    assert all(plan.weather.sun_altitude_angle > 0 for plan in plans)
    assert all(70 <= plan.fov_deg <= 90 for plan in plans)


def test_seeds_and_sizes_are_read_or_refused():
    assert pairs.parse_range("0:3") == range(3)
    assert pairs.parse_range("7") == range(7, 8)
    assert parse(["pairs", "render", "--out", "x", "--size", "96x54"])[1].size == (96, 54)
    assert pairs.parse_kinds("lights, signs") == ["lights", "signs"] and not pairs.parse_kinds(None)
    with pytest.raises(ConfigError, match=r"two-wheelers.*'dogs'"):
        pairs.parse_kinds("lights,dogs")
    with pytest.raises(ConfigError, match="0:24"):
        pairs.parse_range("a:b")
    with pytest.raises(ConfigError, match="512x288"):
        parse(["pairs", "render", "--out", "x", "--size", "512"])


@pytest.mark.slow
def test_a_clip_is_written_whole_and_only_once(tmp_path):
    arguments = [
        "--seeds",
        "1000",
        "--frames",
        "2",
        "--size",
        "96x54",
        "--spp",
        "2",
        "--drives",
        "1",
    ]
    render("--out", str(tmp_path), *arguments)
    sim = np.load(tmp_path / "town1000-0.sim.npy")
    truth = np.load(tmp_path / "town1000-0.truth.npy")
    assert sim.shape == truth.shape == (2, 54, 96, 3)
    assert sim.dtype == truth.dtype == np.uint8
    facts = json.loads((tmp_path / "town1000-0.json").read_text())
    assert facts["complete"] and facts["seed"] == 1000 and facts["size"] == [96, 54]
    # the two looks show the same edges: their brightness rises and falls together
    a, b = (clip.astype(float).mean(-1).ravel() for clip in (sim, truth))
    assert np.corrcoef(a, b)[0, 1] > 0.6
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    render("--out", str(tmp_path), *arguments)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_a_clip_does_not_depend_on_the_drives_made_before_it(tmp_path):
    """A town is built once for its drives, whose weathers differ: nothing of one may stay."""
    arguments = ["--seeds", "5", "--frames", "1", "--size", "96x54", "--spp", "2", "--drives", "2"]
    assert pairs.plan_drive(5, 0).weather != pairs.plan_drive(5, 1).weather
    names = [f"town0005-1.{kind}.npy" for kind in ("sim", "truth")]
    render("--out", str(tmp_path), *arguments)
    after_another = [np.load(tmp_path / name) for name in names]
    (tmp_path / "town0005-1.json").unlink()
    render("--out", str(tmp_path), *arguments)
    alone = [np.load(tmp_path / name) for name in names]
    assert all(np.array_equal(a, b) for a, b in zip(after_another, alone, strict=True))


@pytest.mark.slow
def test_prompts_change_the_truth_alone(tmp_path):
    arguments = ["--seeds", "6", "--frames", "1", "--size", "96x54", "--spp", "2", "--drives", "1"]
    names = {}
    for prompt in ("as simulated", "snow", "night"):
        render("--out", str(tmp_path), *arguments, "--prompts", prompt)
        names[prompt] = pairs.plan_drive(6, 0, prompt).name
        facts = json.loads((tmp_path / f"{names[prompt]}.json").read_text())
        assert facts["prompt"] == prompt
    assert names["as simulated"] == "town0006-0"
    assert names["snow"] == "town0006-0-snow"
    sims = [np.load(tmp_path / f"{name}.sim.npy") for name in names.values()]
    assert all(np.array_equal(sims[0], other) for other in sims[1:])
    plain, snow, night = (np.load(tmp_path / f"{n}.truth.npy")[0] for n in names.values())
    assert night.mean() < 0.75 * plain.mean()
    lower = slice(36, None)  # the ground
    assert snow[lower].mean() > plain[lower].mean() + 10


@pytest.mark.slow
def test_drives_of_a_town_take_turns_at_the_prompts(tmp_path):
    arguments = ["--seeds", "6", "--frames", "1", "--size", "64x32", "--spp", "1", "--drives", "2"]
    render("--out", str(tmp_path), *arguments, "--prompts", "rain, fog")
    made = sorted(path.stem for path in tmp_path.glob("*.json"))
    assert made == ["town0006-0-rain", "town0006-1-fog"]


def test_unknown_prompts_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"rain, snow.*'hail'"):
        render("--out", str(tmp_path), "--prompts", "rain,hail")


@pytest.mark.slow
def test_the_render_alone_is_drawn_again_in_another_look(tmp_path, monkeypatch):
    arguments = [
        "--seeds",
        "1000",
        "--frames",
        "2",
        "--size",
        "96x64",
        "--spp",
        "1",
        "--drives",
        "1",
    ]
    render("--out", str(tmp_path / "a"), *arguments, "--prompts", "rain")
    monkeypatch.setattr(pairs, "PathTracer", None)  # the truth is not traced again
    render("--out", str(tmp_path / "b"), "--look", "B", "--truth-from", str(tmp_path / "a"))
    a, b = (np.load(tmp_path / name / "town1000-0-rain.sim.npy") for name in "ab")
    assert a.shape == b.shape and np.abs(a.astype(int) - b).mean() > 8
    for kind in ("truth", "calm"):
        traced = [tmp_path / name / f"town1000-0-rain.{kind}.npy" for name in "ab"]
        assert traced[0].read_bytes() == traced[1].read_bytes()
    facts = [json.loads((tmp_path / name / "town1000-0-rain.json").read_text()) for name in "ab"]
    assert [one["look"] for one in facts] == ["A", "B"]
    assert facts[0]["lights"] == facts[1]["lights"] and len(facts[0]["lights"]) == 2


@pytest.mark.slow
def test_a_drive_that_changed_is_not_given_an_old_truth(tmp_path):
    arguments = [
        "--seeds",
        "1000",
        "--frames",
        "1",
        "--size",
        "96x64",
        "--spp",
        "1",
        "--drives",
        "1",
    ]
    render("--out", str(tmp_path / "a"), *arguments)
    path = tmp_path / "a" / "town1000-0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"number": 1}))
    redrawn = ["--out", str(tmp_path / "b"), "--truth-from", str(tmp_path / "a")]
    with pytest.raises(PairError, match="levels of difference"):
        render(*redrawn)
    with pytest.raises(PairError, match="expected finished clips"):
        render(*redrawn, "--seeds", "3")
    with pytest.raises(ConfigError, match="--out"):
        render("--out", str(tmp_path / "a"), "--truth-from", str(tmp_path / "a"))
