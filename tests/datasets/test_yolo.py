"""YOLO exports, read by the rule that its loaders document."""

import cv2
import numpy as np
import pytest
import yaml

from realmaster_live.annotations import pixels_of
from realmaster_live.datasets import Selection, SplitRule, yolo
from realmaster_live.datasets.categories import YOLO
from realmaster_live.datasets.polygons import joined_outline
from realmaster_live.errors import ConfigError
from realmaster_live.recording import Recording


def read(out, kind="sim"):
    """Yield split, name, picture size and rows: a class and numbers from 0 to 1 each."""
    data = yaml.safe_load((out / f"data-{kind}.yaml").read_text())
    assert list(data["names"]) == list(range(len(data["names"])))
    splits = [one for one in ("train", "val", "test") if one in data]
    for split in [one for one in splits if data[one].endswith(one)]:  # no stand-ins
        for path in sorted((out / data[split]).iterdir()):
            height, width = cv2.imread(str(path)).shape[:2]
            labels = path.parent.parent.parent.parent / "labels" / path.relative_to(out / "images")
            rows = [
                (data["names"][int(row.split()[0])], np.array(row.split()[1:], float))
                for row in labels.with_suffix(".txt").read_text().splitlines()
            ]
            yield split, path.stem, (width, height), rows


def test_boxes_are_those_of_the_recording(town_drive, tmp_path):
    summary = yolo.export(Selection(recordings=(town_drive,)), tmp_path)
    read_back = {name: rows for _, name, _, rows in read(tmp_path)}
    assert len(read_back) == summary.frames == 32
    boxes = 0
    for sample in Recording(town_drive).samples("front", streams=()):
        rows = read_back[f"minitown_front_{sample.frame.frame_id:08d}"]
        for one in sample.annotations:
            if one.pixels < 20 or max(one.occlusion, one.truncation) > 0.9:
                continue
            left, top, right, bottom = np.divide(one.visible, (320, 180) * 2)
            box = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
            near = [name for name, numbers in rows if np.abs(numbers - box).max() < 1e-5]
            assert YOLO.of(one.class_id) in near
            boxes += 1
    assert boxes == sum(map(len, read_back.values())) > 50


def test_splits_and_pairs(drive, tmp_path):
    folders = drive("one", town="Town01"), drive("two", town="Town02", cameras=("front", "back"))
    out = tmp_path / "out"
    selection = Selection(
        recordings=folders, variant="paired", split=SplitRule(train=("Town01",), test=("Town02",))
    )
    yolo.export(selection, out)
    sim, real = list(read(out, "sim")), list(read(out, "real"))
    assert [row[0] for row in sim] == ["train"] * 8 + ["test"] * 16
    for one, other in zip(sim, real, strict=True):
        assert one[:3] == other[:3] and len(one[3]) == len(other[3])
        for mine, theirs in zip(one[3], other[3], strict=True):
            assert mine[0] == theirs[0] and np.array_equal(mine[1], theirs[1])


@pytest.mark.parametrize(
    "rule",
    [SplitRule(), SplitRule(train=("Town01",), val=("Town02",)), SplitRule(test=("Town01",))],
    ids=["all train", "train and val", "test and train"],
)
def test_the_description_has_what_ultralytics_demands(drive, tmp_path, rule):
    """`check_det_dataset`: train and val are required, each an existing folder with pictures."""
    folders = drive("one", town="Town01", chunks=1), drive("two", town="Town02", chunks=1)
    yolo.export(Selection(recordings=folders, split=rule), tmp_path / "out")
    description = tmp_path / "out/data-sim.yaml"
    data = yaml.safe_load(description.read_text())
    for split in ("train", "val"):
        pictures = list((description.parent / data[split]).glob("*.jpg"))
        assert pictures
        for path in pictures:
            text = str(path).replace("/images/", "/labels/")
            assert (tmp_path / text).with_suffix(".txt").is_file()
    assert len(data["names"]) == max(data["names"]) + 1
    stands_in = "no recording was exported for val" in description.read_text()
    assert stands_in == (data["val"] == data["train"])


def test_outlines_cover_the_masks(drive, tmp_path):
    folder, out = drive(chunks=1), tmp_path / "out"
    yolo.export(Selection(recordings=(folder,)), out, segments=True)
    rows = next(read(out))[3]
    sample = next(Recording(folder).samples("front", streams=("instance",)))
    for one in sample.annotations:
        at, mask = pixels_of(one, sample.frame.labels["instance"])
        best = 0.0
        for name, numbers in rows:
            drawn = np.zeros((96, 160), np.uint8)
            points = (numbers.reshape(-1, 2) * (160, 96) - 0.5).round().astype(np.int32)
            cv2.fillPoly(drawn, [points], 1)
            whole = np.zeros((96, 160), bool)
            whole[at[1] : at[1] + mask.shape[0], at[0] : at[0] + mask.shape[1]] = mask
            share = (whole & (drawn > 0)).sum() / (whole | (drawn > 0)).sum()
            best = max(best, share if name == YOLO.of(one.class_id) else 0.0)
        assert best > 0.9, one


def test_parts_are_joined_by_lines_that_enclose_nothing():
    mask = np.zeros((40, 40), bool)
    mask[2:8, 2:8] = mask[30:38, 4:10] = mask[10:16, 30:38] = True
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(drawn, [joined_outline(mask)], 1)
    assert (drawn[mask] == 1).all()
    assert (drawn > 0).sum() < mask.sum() + 120  # the lines themselves, a pixel wide


def test_numbers_with_a_gap_are_refused(drive, tmp_path):
    from realmaster_live.datasets.categories import COCO
    from realmaster_live.datasets.folder import ExportOptions

    with pytest.raises(ConfigError, match="from 0 on without a gap"):
        yolo.export(
            Selection(recordings=(drive(chunks=1),)),
            tmp_path / "out",
            options=ExportOptions(categories=COCO),
        )
