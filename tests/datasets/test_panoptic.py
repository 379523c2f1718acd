"""COCO panoptic exports, by the rules that panopticapi's evaluation checks."""

import json

import cv2
import numpy as np
import pytest

from realmaster_live.annotations import pixels_of
from realmaster_live.datasets import Rules, Selection, panoptic
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.recording import Recording


def opened(out, split="train"):
    """Yield image, segment id of every pixel, id -> segment, and the categories."""
    content = json.loads((out / f"annotations/panoptic_{split}.json").read_text())
    categories = {row["id"]: row for row in content["categories"]}
    images = {row["id"]: row for row in content["images"]}
    assert len(images) == len(content["images"]) == len(content["annotations"])
    for row in content["annotations"]:
        blue, green, red = cv2.split(
            cv2.imread(str(out / f"annotations/panoptic_{split}" / row["file_name"])).astype(int)
        )
        yield (
            images[row["image_id"]],
            red + 256 * green + 256**2 * blue,
            {one["id"]: one for one in row["segments_info"]},
            categories,
        )


def check(image, ids, segments, categories):
    """`pq_compute_single_core`: the same ids in PNG and JSON, known categories, true areas."""
    assert ids.shape == (image["height"], image["width"])
    assert set(np.unique(ids)) - {0} == set(segments)
    for number, one in segments.items():
        rows, columns = np.nonzero(ids == number)
        assert one["area"] == len(rows) and one["category_id"] in categories
        left, top, width, height = one["bbox"]
        assert (left, top) == (columns.min(), rows.min())
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
        if not categories[one["category_id"]]["isthing"]:
            assert not one["iscrowd"]
    stuff = [
        one["category_id"]
        for one in segments.values()
        if not categories[one["category_id"]]["isthing"]
    ]
    assert len(stuff) == len(set(stuff))


def test_every_pixel_of_the_town_has_its_segment(town_drive, tmp_path):
    summary = panoptic.export(Selection(recordings=(town_drive,)), tmp_path)
    found = {image["frame_id"]: rest for image, *rest in opened(tmp_path)}
    assert len(found) == summary.frames == 32
    things = 0
    for sample in Recording(town_drive).samples("front", streams=("semantic", "instance")):
        ids, segments, categories = found[sample.frame.frame_id]
        names = {number: categories[one["category_id"]]["name"] for number, one in segments.items()}
        semantic = sample.frame.labels["semantic"]
        for word, name in (("road", "road"), ("sky", "sky-other-merged"), ("pole", None)):
            (value,) = set(ids[semantic == CLASS_IDS[word]].tolist()) or {None}
            assert value is None or names.get(value) == name
        for one in sample.annotations:
            if not one.pixels or one.class_id == CLASS_IDS["traffic_light"]:
                continue
            (left, top), mask = pixels_of(one, sample.frame.labels["instance"])
            (value,) = set(ids[top : top + mask.shape[0], left : left + mask.shape[1]][mask])
            assert value and segments[value]["area"] == one.pixels
            things += 1
    assert things > 50


def test_the_rules_of_panopticapi(town_drive, drive, tmp_path):
    folder = drive(chunks=1, low=111, licence="CC-BY-4.0", weather="fog")
    selection = Selection(
        recordings=(town_drive, folder), variant="paired", rules=Rules(min_pixels=150)
    )
    panoptic.export(selection, tmp_path / "out")
    crowds, facts = 0, {}
    for image, ids, segments, categories in opened(tmp_path / "out"):
        check(image, ids, segments, categories)
        facts[image["recording"]] = image["weather"], image["trust"]
        crowds += sum(one["iscrowd"] for one in segments.values())
        for kind in ("sim", "real"):
            assert (tmp_path / "out" / kind / image["file_name"]).is_file()
    assert crowds and facts["drive"] == ("fog", pytest.approx(0.9))
    assert facts["minitown"] == ("clear", None)
    content = json.loads((tmp_path / "out/annotations/panoptic_train.json").read_text())
    names = {row["id"]: row["name"] for row in content["licenses"]}
    assert names[content["images"][0]["license"]] == "CC-BY-4.0"


def test_what_cannot_be_trusted_is_of_no_segment(drive, tmp_path):
    folder = drive(chunks=1, low=111)
    panoptic.export(Selection(recordings=(folder,)), tmp_path / "out")
    sample = next(Recording(folder).samples("front", streams=("instance",)))
    _, ids, _, _ = next(opened(tmp_path / "out"))
    distrusted = sample.frame.labels["instance"] == CLASS_IDS["car"] << 16 | 111
    assert distrusted.any() and not ids[distrusted].any()
