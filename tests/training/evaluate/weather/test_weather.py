"""Weathers on drives: what is seen, what labels lose, and the seams of a change, on known films."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from driven_scene import record_drive
from prompted_dimmer import DARK, Dimmer

from realmaster_live.cli import main
from realmaster_live.errors import ConfigError, PairError
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.training.data import Clip
from realmaster_live.training.evaluate.drives.sources import RecordedDrive
from realmaster_live.training.evaluate.weather import figures, judging
from realmaster_live.training.evaluate.weather.films import Films
from realmaster_live.training.evaluate.weather.passes import Change, chunks


def clip(prompt, seed, gain):
    draw = np.random.default_rng(seed)
    frames = (draw.integers(40, 160, (2, 32, 48, 3)) * gain).clip(0, 255).astype(np.uint8)
    facts = {"prompt": prompt, "seed": seed}
    return Clip(name=f"{prompt}{seed}", seed=seed, facts=facts, sim=frames, truth=frames)


def brightness(frames):
    values = frames.reshape(len(frames), -1).astype(np.float32)
    return torch.from_numpy(np.stack([values.mean(1), values.std(1)], axis=1))


@pytest.fixture(scope="module")
def judge():
    clips = [clip(name, seed, DARK[name]) for name in ("night", "fog") for seed in range(4)]
    return judging.learn([*clips, clip("as simulated", 9, 1.0)], brightness)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drives") / "drive"
    return RecordedDrive(record_drive(folder, chunks=16))


def measured(source, judge, *, wrong=False, fade=4, **more):
    spec = ChunkSpec(frames=4, width=source.size[0], height=source.size[1], fps=source.fps)
    return figures.measure_weathers(
        Dimmer(spec, wrong), source, ["night"], judge, fade=fade, **more
    )["night"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weather")


@pytest.fixture(scope="module")
def night(source, judge, folder):
    """The figures of a good engine, whose films are in `folder`."""
    with Films(folder=folder / "films", fps=source.fps) as films:
        found = measured(source, judge, watch=films.add)
        films.write_sheet(folder / "weather.jpg")
    return found


def test_a_judge_is_held_to_towns_that_it_did_not_see(judge):
    assert judge.names == ("fog", "night")
    assert judge.truth == {"fog": 1.0, "night": 1.0}
    assert judge.name(clip("night", 77, 0.4).truth) == "night"
    with pytest.raises(PairError, match=r"got night in 1: realmaster pairs render --prompts"):
        judging.learn([clip("night", 1, 0.4)], brightness)


def test_a_faded_change_has_no_seam_and_a_sudden_one_has(night, folder):
    assert night.recognised == 1.0 and night.before < 0.5
    assert night.cut > 2 * night.seam, "the switch is seen at one border"
    assert night.mean < night.ordinary
    assert abs(night.loss["edges"]) < 0.1
    assert sorted(path.name for path in (folder / "films").iterdir()) == [
        "as-simulated.mp4",
        "night.mp4",
    ]
    assert (folder / "weather.jpg").stat().st_size > 1000
    facts = json.loads(json.dumps(night.facts()))
    assert facts["trust"]["semantics"] is None, "another weather is not held to the render's look"
    assert "100 %" in figures.table({"night": night})[-1]


def test_a_weather_that_moves_things_misses_its_bar(source, judge, night):
    reached = figures.bars({"night": measured(source, judge, wrong=True)}, {}, 0.1)
    loss = next(bar for bar in reached if "loss" in bar.name)
    assert loss.verdict == "missed" and loss.value > 0.1
    kept = figures.bars({"night": night}, {}, 0.1)
    assert next(bar for bar in kept if "loss" in bar.name).verdict == "passed"


def test_the_fade_is_in_the_middle_and_a_short_drive_is_refused(source):
    spec = ChunkSpec(frames=4, width=source.size[0], height=source.size[1], fps=source.fps)
    engine = Dimmer(spec)
    assert figures.plan_change(source, engine, "night", 6, 64) == Change(
        prompt="night", at=5, fade=6
    )
    with pytest.raises(ConfigError, match="expected a drive of 80 frames or more for a fade of 12"):
        figures.plan_change(source, engine, "night", 12, 64)
    [(first, samples), *_] = chunks(engine, source, 64)
    assert [sample.frame_id for sample in samples] == first.frame_ids.tolist()


def test_seams_are_those_computed_by_hand():
    warp = [np.nan, 1.0, 2.0, 1.0, 9.0, 3.0]
    passed = figures.Pass(
        chunk=[0, 0, 1, 1, 2, 2], starts=[True, False] * 3, warp=warp, trust={}, named=[]
    )
    assert passed.borders() == {1: 2.0, 2: pytest.approx(4.5)}
    passed.trust = {"edges": [0.5] * 6, "lights": [1.0] * 5 + [np.nan]}
    means = passed.mean_trust(0)
    assert means["edges"] == 0.5 and np.isnan(means["lights"]), "five frames say too little"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "give --data with a folder of"),
        (["--classifier", "none.npz"], "got no file none.npz"),
    ],
)
def test_without_a_classifier_it_says_how_to_get_one(source, tmp_path, capsys, options, expected):
    given = [str(source.recording.folder), "--out", str(tmp_path), *options]
    assert main(["evaluate", "weather", *given]) != 0
    error = capsys.readouterr().err
    assert expected in error and error.strip().count("\n") == 0


def test_a_loss_that_nothing_says_is_not_measured(night):
    bare = replace(night, loss={"edges": float("nan")})
    [bar] = [bar for bar in figures.bars({"night": bare}, {}, 0.1) if "loss" in bar.name]
    assert bar.verdict == "not measured"
