"""What a segmenter sees, against counts by hand, and on a recorded drive."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from realmaster_live.fidelity.judge import Judge, Prediction
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.training.evaluate.drives.films import RENDER
from realmaster_live.training.evaluate.drives.summary import summarize
from realmaster_live.training.evaluate.measures.judged import (
    JudgedMeasure,
    scale_invariant_error,
)

SHAPE = (64, 96)
GROUPS = {"road": (CLASS_IDS["road"],), "vehicle": (CLASS_IDS["car"],)}


class Painted:
    """Takes red pixels for vehicles, and others for road; all is at e metres."""

    groups = GROUPS
    group_of = np.full(256, -1)
    group_of[CLASS_IDS["road"]], group_of[CLASS_IDS["car"]] = 0, 1

    def predict(self, picture):
        red = (picture[::4, ::4, 0] > 127).astype(np.float32)
        return Prediction(share=np.stack([1 - red, red]), log_depth=np.ones(red.shape, np.float32))


def street(*lefts):
    """A road with cars of 16 x 16 pixels at some columns."""
    image = np.zeros((*SHAPE, 3), np.uint8)
    semantic = np.full(SHAPE, CLASS_IDS["road"], np.uint8)
    instance = np.zeros(SHAPE, np.int32)
    for left in lefts:
        span = np.s_[16:32, left : left + 16]
        image[span], semantic[span] = 255, CLASS_IDS["car"]
        instance[span] = CLASS_IDS["car"] << 16 | left + 1
    labels = {"semantic": semantic, "instance": instance, "depth": np.full(SHAPE, 9.0, np.float32)}
    return SimpleNamespace(image=image, labels=labels)


def test_vanished_invented_and_late_things_are_counted():
    measure = JudgedMeasure(judge=Painted())
    measure.begin()
    first, second = street(0), street(0, 32)
    rows = {RENDER: [], "film": []}
    for sample in (first, second):
        film = sample.image.copy()
        film[16:32, 32:48] = 0  # the second car is lost
        film[40:60, 64:88] = 255  # and one more is invented
        for name, picture in ((RENDER, sample.image), ("film", film)):
            rows[name].append(measure(name, picture, sample))
    columns = {
        film: {key: np.array([row.get(key, np.nan) for row in found]) for key in found[0]}
        for film, found in rows.items()
    }
    found = summarize(
        columns, np.zeros(2, bool), np.zeros(2, int), block=1, figures=measure.figures, resamples=10
    )
    values = {name: {k: v.value for k, v in of.items()} for name, of in found.items()}
    assert values[RENDER]["thing recall"] == values[RENDER]["late thing recall"] == 1
    assert values["film"]["thing recall"] == pytest.approx(2 / 3)
    assert values["film"]["late thing recall"] == 0
    assert values["film"]["vanished things"] == pytest.approx(1 / 3)
    assert values[RENDER]["invented things"] == 0 and values["film"]["invented things"] == 1
    assert values["film"]["depth SI-RMSE"] == pytest.approx(0, abs=1e-6)
    area, car, more = 2 * SHAPE[0] * SHAPE[1], 16 * 16, 20 * 24
    road, vehicles = area - 3 * car, 3 * car
    seen_right = 2 * car
    iou = (
        (road - 2 * more) / (road + car),  # the lost car is taken for road
        seen_right / (vehicles + 2 * more),
    )
    assert values["film"]["mIoU"] == pytest.approx(100 * np.mean(iou), rel=0.1)


def test_the_mean_iou_of_several_frames_is_that_of_torchmetrics():
    library = pytest.importorskip("torchmetrics.functional.classification")
    draw = np.random.default_rng(0)
    wanted, seen = draw.integers(0, 2, (2, 3, 20, 30))
    wanted[draw.random(wanted.shape) < 0.2] = -1  # in no group
    measure = JudgedMeasure(judge=Painted())
    rows = [measure._classes(one, other) for one, other in zip(seen, wanted, strict=True)]
    columns = {RENDER: {key: np.array([row[key] for row in rows]) for key in rows[0]}}
    [figure] = [each for each in measure.figures if each.name == "mIoU"]
    found = summarize(
        columns, np.zeros(3, bool), np.zeros(3, int), block=1, figures=[figure], resamples=2
    )
    score = library.multiclass_jaccard_index(
        torch.from_numpy(seen), torch.from_numpy(wanted), num_classes=2, ignore_index=-1
    )
    assert found[RENDER]["mIoU"].value == pytest.approx(100 * float(score), rel=1e-5)


def test_depth_error_is_that_of_the_logarithm_whatever_the_scale():
    depth = np.random.default_rng(0).uniform(2, 60, (8, 12)).astype(np.float32)
    assert scale_invariant_error(np.log(depth) + 3, depth) == pytest.approx(0, abs=1e-5)
    noise = np.random.default_rng(1).normal(0, 0.2, depth.shape)
    error = np.log(depth) + noise - np.log(depth)
    assert scale_invariant_error((np.log(depth) + noise).astype(np.float32), depth) == (
        pytest.approx(np.sqrt((error**2).mean() - error.mean() ** 2), rel=1e-4)
    )
    assert np.isnan(scale_invariant_error(depth, np.full_like(depth, 1000.0))), "only sky"


def test_the_shipped_judge_can_be_used_and_without_labels_there_is_nothing():
    measure = JudgedMeasure(judge=Judge())
    sample = street(0, 32)
    row = measure(RENDER, sample.image, sample)
    assert row["there"] == 2 and "road both" in row
    assert measure(RENDER, sample.image, SimpleNamespace(image=sample.image, labels={})) == {}
