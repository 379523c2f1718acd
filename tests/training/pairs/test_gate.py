"""The gate: good clips pass, and every fault is named by the rule that is about it."""

import json

import cv2
import numpy as np
import pyarrow.parquet as parquet
import pytest
from panned_scene import FRAMES, photoreal, scene, spoil, write_scene

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.jobs.worker import Worker
from realmaster_live.training.evaluate.warp import motion_of
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.gate import GateConfig, Networks, make, measure
from realmaster_live.training.pairs.palette import palette_drift
from realmaster_live.training.pairs.plan import PlanConfig, plan
from realmaster_live.training.pairs.quality import black_share, frozen_share, sharpness_ratio
from realmaster_live.training.pairs.recipe import FILE
from realmaster_live.training.pairs.rules import RULES, judge
from realmaster_live.training.pairs.stage import Job
from realmaster_live.training.pairs.structure import (
    gradient_histograms,
    resized,
    self_similarity,
    structure_distance,
)
from realmaster_live.training.pairs.verdicts import calibrate, read_verdicts, write_verdicts
from realmaster_live.training.pairs.videos import write_video
from realmaster_live.training.pairs.warp import warp_error, warp_ratio
from realmaster_live.training.pairs.work import StageWork
from realmaster_live.training.recipe_tables import build

RECIPE = '[propagate]\nmethod = "exact"\n[plan]\nframes = 9\nfps = 20.0\nsize = "keep"\n'
FAULTS = {
    "shifted": "max_shift_px",
    "swapped": "min_edge_f1",
    "torn": "min_worst_edge_f1",
    "frozen": "max_frozen",
    "blurred": "min_sharpness",
    "flickering": "max_warp_ratio",
    "fading": "max_palette_drift",
    "black": "max_black",
}


def verdict_of(source, made, **options):
    config = GateConfig(**options)
    return judge(measure(source, made, config, Networks()), config.limits)


@pytest.mark.parametrize("seed", range(4))
def test_what_a_second_renderer_made_passes(seed):
    source = scene(seed)
    verdict = verdict_of(source, photoreal(source))
    assert verdict.passed, verdict.reasons
    assert verdict.failed == verdict.reasons == ()
    assert 0.5 <= verdict.weight <= 1


@pytest.mark.parametrize(("fault", "rule"), FAULTS.items())
def test_a_fault_is_named_by_its_rule(fault, rule):
    source = scene(1)
    made = spoil(photoreal(source), fault)
    verdict = verdict_of(source, made)
    assert not verdict.passed
    assert verdict.weight == 0
    assert rule in verdict.failed
    assert len(verdict.reasons) == len(verdict.failed)
    (reason,) = [
        text for key, text in zip(verdict.failed, verdict.reasons, strict=True) if key == rule
    ]
    limit = getattr(GateConfig(), rule)
    assert f"the limit of {limit:.3g}" in reason
    others = {key: False for key in verdict.failed}
    assert verdict_of(source, made, **others).passed, "false switches a rule off"


def test_a_still_scene_is_not_frozen():
    source = np.repeat(scene(1)[:1], FRAMES, axis=0)
    made = photoreal(source)
    assert frozen_share(source, made) == 0
    assert verdict_of(source, made).passed


def test_a_clip_of_one_frame_is_judged_by_its_picture():
    source = scene(1)[:1]
    assert verdict_of(source, photoreal(source)).passed
    assert not verdict_of(source, spoil(photoreal(source), "blurred")).passed


def test_warp_error_is_the_change_along_the_motion():
    source = scene(2)
    motion = motion_of(source)
    steady = warp_error(source, motion)
    lighter = source.copy()
    lighter[1::2] = np.minimum(source[1::2], 235) + 20
    assert warp_error(lighter, motion) == pytest.approx(20, abs=2)
    assert steady < 4
    error, ratio = warp_ratio(source, source)
    assert error == steady
    assert ratio == 1


def test_palette_drift_by_hand():
    source = scene(2)
    assert palette_drift(source, photoreal(source)) < 0.5, "another palette is none"
    grey = np.full((2, 8, 8, 3), 119, np.uint8)
    other = grey.copy()
    other[1] = 144
    # L* of grey levels 119 and 144 are 50.0 and 59.8: half their difference is the deviation
    assert palette_drift(grey, other) == pytest.approx((59.8 - 50.0) / 2, abs=0.1)


def test_palette_follows_a_source_that_changes_by_another_gain():
    def ramp(first, last):
        levels = np.linspace(first, last, 9).round().astype(np.uint8)
        return np.ones((9, 8, 8, 3), np.uint8) * levels[:, None, None, None]

    turning = ramp(100, 180)
    assert palette_drift(turning, turning // 2) < 0.5
    assert palette_drift(turning, ramp(180, 100)) > 8, "the other way round is a drift"
    assert palette_drift(ramp(120, 124), ramp(120, 180)) > 5, "and so is far more"


def test_a_dark_clip_is_not_frozen():
    source = scene(3)
    dark = source // 12
    assert frozen_share(source, dark) == 0
    assert frozen_share(source, spoil(dark, "frozen")) == 0.5


def test_shares_by_hand():
    source = scene(3)
    made = photoreal(source)
    assert frozen_share(source, spoil(made, "frozen")) == 0.5, "4 of 8 changes"
    assert black_share(spoil(made, "black")) == pytest.approx(1 / 9)
    assert sharpness_ratio(source, source) == 1
    assert sharpness_ratio(source, source // 2) == pytest.approx(1, abs=0.05), "darkness is no blur"


def test_structure_distance_by_hand():
    def tokens(picture):
        return np.array([[1, 0], [0, 1]] if picture[0, 0, 0] else [[1, 0], [2, 0]], np.float32)

    source, made = np.zeros((2, 2, 2, 3), np.uint8), np.ones((2, 2, 2, 3), np.uint8)
    np.testing.assert_array_equal(self_similarity(tokens(made[0])), np.eye(2))
    # two of four cosines are 1 in one and 0 in the other
    assert structure_distance(source, made, tokens) == 0.5
    assert structure_distance(source, source, tokens) == 0


def test_structure_forgives_colours_and_sees_another_layout():
    source = scene(1)
    same = structure_distance(source[:2], photoreal(source)[:2], gradient_histograms)
    other = structure_distance(source[:2], photoreal(scene(5))[:2], gradient_histograms)
    assert same < 0.3 * other
    picture = resized(source[0], 16)
    assert picture.shape == (224, 336, 3)
    assert gradient_histograms(source[0]).shape == (14 * 21, 9)


def test_weight_falls_toward_the_limit():
    limits = dict.fromkeys((rule.key for rule in RULES), False)
    weights = [
        judge({"edge_f1": f1}, limits | {"min_edge_f1": 0.5}).weight for f1 in (0.4, 0.5, 0.6, 0.9)
    ]
    assert weights == [0, 0.5, 0.7, 1]
    assert judge({"shift_px": 1.5}, limits | {"max_shift_px": 2.0}).weight == 0.75
    assert not judge({"edge_f1": float("nan")}, limits | {"min_edge_f1": 0.5}).passed


def test_limits_are_numbers_or_false():
    config = build(GateConfig, {"max_shift_px": False, "min_edge_f1": 1}, "[gate]")
    assert config.limits["max_shift_px"] is False
    for wrong in (True, -1.0, "off"):
        with pytest.raises(ConfigError, match="false to switch the rule off"):
            GateConfig(max_shift_px=wrong)
    with pytest.raises(ConfigError, match="face_model and identity_model together"):
        GateConfig(face_model="yunet.onnx")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three judged clips: the second is shifted, the third flickers."""
    folder = tmp_path_factory.mktemp("gate")
    for seed, fault in ((1, ""), (2, "shifted"), (3, "flickering")):
        write_scene(folder / "pairs", seed, fault=fault)
    dataset = folder / "dataset"
    dataset.mkdir()
    (dataset / FILE).write_text(RECIPE)
    plan(dataset, PlanConfig(frames=9, fps=20.0, size="keep"), [folder / "pairs"])
    for stage in ("propagate", "gate"):
        assert Worker(StageWork(Chain(dataset), stage)).run() == 3
    return dataset


def test_verdicts_lie_in_the_store_and_nothing_is_deleted(dataset):
    assert len(Chain(dataset).finished("propagate")) == 3
    verdicts = [json.loads(path.read_text()) for path in Chain(dataset).finished("gate").values()]
    assert [verdict["passed"] for verdict in verdicts] == [True, False, False]
    assert "max_shift_px" in verdicts[1]["failed"]
    assert "max_warp_ratio" in verdicts[2]["failed"]
    assert set(verdicts[0]) == {"passed", "failed", "reasons", "metrics", "weight"}


def test_the_table_holds_a_row_a_clip(dataset):
    assert write_verdicts(dataset) == write_verdicts(dataset), "written twice is written once"
    (path,) = (dataset / "verdicts").glob("*.parquet")
    table = parquet.read_table(path).to_pylist()
    assert [row["passed"] for row in table] == [True, False, False]
    verdicts = read_verdicts(dataset)
    for row in table:
        verdict = verdicts[row["clip_id"]]
        assert row["reasons"] == list(verdict.reasons)
        assert row["shift_px"] == verdict.metrics["shift_px"]


def test_calibration_shows_what_limits_do(dataset):
    report = calibrate(dataset)
    assert (report.clips, report.passed) == (3, 1)
    assert report.rejected["max_shift_px"] == 1
    assert report.quantiles["shift_px"][-1] == pytest.approx(6, abs=0.5)
    text = "\n".join(report.lines())
    assert "1 of 3 clips passed" in text
    assert "max_shift_px = 2, 1 clips fail" in text
    assert "max_gradient_structure = " in text


def test_a_clip_of_another_length_is_an_error(dataset, tmp_path):
    chain = Chain(dataset)
    clip = chain.clips[0]
    write_video(tmp_path / "short.mp4", scene(1)[:5], 20)
    stage = make(GateConfig(), dataset)
    job = Job(clip=clip, inputs={"propagate": tmp_path / "short.mp4"})
    with pytest.raises(PairError, match="run the stage propagate again"):
        stage.run(job, tmp_path / "verdict.json")


def test_a_model_counts_by_its_bytes(tmp_path):
    def spec_of(name, text):
        path = tmp_path / name
        path.write_text(text)
        return make(GateConfig(structure_model=str(path)), tmp_path).spec

    one, same, other = spec_of("a.pth", "x"), spec_of("b.pth", "x"), spec_of("a.pth", "y")
    assert one.parameters_hash == same.parameters_hash != other.parameters_hash
    with pytest.raises(ConfigError, match="correct structure_model"):
        _ = make(GateConfig(structure_model="nowhere.pth"), tmp_path).spec


def test_a_missing_plan_of_verdicts_says_what_to_run(tmp_path):
    write_scene(tmp_path / "pairs", 1)
    (tmp_path / FILE).write_text(RECIPE)
    plan(tmp_path, PlanConfig(frames=9, fps=20.0, size="keep"), [tmp_path / "pairs"])
    with pytest.raises(PairError, match="realmaster pairs gate"):
        calibrate(tmp_path)


def test_blur_is_measured_at_the_size_of_the_clip():
    source = scene(4)
    halved = [cv2.resize(frame, None, fx=0.5, fy=0.5) for frame in source]
    again = np.stack([cv2.resize(frame, source.shape[2:0:-1]) for frame in halved])
    assert sharpness_ratio(source, again) < 0.5
