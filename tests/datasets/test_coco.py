"""COCO exports, opened by pycocotools and by a walk like torchvision's CocoDetection."""

import json

import cv2
import numpy as np
import pytest

from realmaster_live.annotations import pixels_of
from realmaster_live.datasets import Rules, Selection, SplitRule, coco
from realmaster_live.datasets.rle import encode_masks, encode_parts
from realmaster_live.recording import Recording

pytest.importorskip("pycocotools")
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

# pycocotools 2.0.11 decodes with numpy 2's old manners
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def opened(out, split="train", kind="instances"):
    return COCO(str(out / f"annotations/{kind}_{split}.json"))


class CocoDetection:
    """What torchvision's dataset of this name does: root and file in, pictures and targets out."""

    def __init__(self, root, file):
        self.root, self.coco = root, COCO(str(file))
        self.ids = sorted(self.coco.imgs)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        (image,) = self.coco.loadImgs(self.ids[index])
        picture = cv2.imread(str(self.root / image["file_name"]))
        return picture, self.coco.loadAnns(self.coco.getAnnIds(self.ids[index]))


def test_masks_and_boxes_are_those_of_the_recording(town_drive, tmp_path):
    summary = coco.export(Selection(recordings=(town_drive,)), tmp_path)
    found = opened(tmp_path)
    names = {found.cats[row["category_id"]]["name"] for row in found.anns.values()}
    assert summary.frames == len(found.imgs) == 32
    assert {"person", "car", "traffic light"} <= names
    by_frame = {image["frame_id"]: image for image in found.imgs.values()}
    compared = 0
    for sample in Recording(town_drive).samples("front", streams=("instance",)):
        image = by_frame[sample.frame.frame_id]
        rows = found.loadAnns(found.getAnnIds(image["id"]))
        seen = [one for one in sample.annotations if one.pixels]
        assert len(rows) == len(seen)
        expected = {(row["object_id"], tuple(row["bbox"])): row for row in rows}
        for one in seen:
            left, top, right, bottom = one.visible
            row = expected[
                one.thing and one.thing.object_id, (left, top, right - left, bottom - top)
            ]
            at, part = pixels_of(one, sample.frame.labels["instance"])
            whole = np.zeros((image["height"], image["width"]), bool)
            whole[at[1] : at[1] + part.shape[0], at[0] : at[0] + part.shape[1]] = part
            np.testing.assert_array_equal(found.annToMask(row), whole)
            assert row["area"] == whole.sum() and row["iscrowd"] == row["ignore"]
            compared += 1
    assert compared > 50


def test_polygons_cover_the_masks_of_what_is_kept(drive, tmp_path):
    folder = drive(chunks=1, low=111, licence="CC-BY-4.0")
    coco.export(Selection(recordings=(folder,)), tmp_path / "out", polygons=True)
    masks, outlines = opened(tmp_path / "out"), opened(tmp_path / "out", kind="polygons")
    assert masks.dataset["images"] == outlines.dataset["images"]
    assert all(isinstance(row["segmentation"], dict) for row in masks.anns.values())
    ignored = 0
    for number, row in outlines.anns.items():
        whole = masks.annToMask(masks.anns[number])
        drawn = outlines.annToMask(row)
        if row["iscrowd"]:
            assert isinstance(row["segmentation"], dict)
            ignored += 1
            continue
        assert all(len(part) >= 6 and len(part) % 2 == 0 for part in row["segmentation"])
        assert (whole & drawn).sum() / (whole | drawn).sum() > 0.9
        left, top, width, height = row["bbox"]
        points = np.concatenate([np.reshape(part, (-1, 2)) for part in row["segmentation"]])
        assert (points >= (left, top)).all() and (points <= (left + width, top + height)).all()
    assert ignored and len(outlines.anns) > 2 * ignored


def test_every_image_has_the_licence_of_its_recording(drive, tmp_path):
    folders = drive("one", chunks=1, licence="CC-BY-4.0"), drive("two", chunks=1)
    coco.export(Selection(recordings=folders), tmp_path / "out")
    dataset = opened(tmp_path / "out").dataset
    names = {row["id"]: row["name"] for row in dataset["licenses"]}
    found = {image["recording"]: names[image["license"]] for image in dataset["images"]}
    assert found == {"one": "CC-BY-4.0", "two": "not stated in the recording"}


def test_its_own_annotations_are_perfect_detections(town_drive, tmp_path, capsys):
    coco.export(Selection(recordings=(town_drive,)), tmp_path)
    truth = opened(tmp_path)
    for kind in ("bbox", "segm"):
        found = truth.loadRes(
            [
                {key: row[key] for key in ("image_id", "category_id", "bbox", "segmentation")}
                | {"score": 0.9}
                for row in truth.anns.values()
            ]
        )
        judged = COCOeval(truth, found, kind)
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
        assert judged.stats[0] == pytest.approx(1.0, abs=1e-6)


def test_a_walk_as_torchvisions(drive, tmp_path):
    folders = drive("one", town="Town01"), drive("two", town="Town02")
    selection = Selection(
        recordings=folders, variant="paired", split=SplitRule(train=("Town01",), val=("Town02",))
    )
    out = tmp_path / "out"
    coco.export(selection, out)
    for kind in ("sim", "real"):
        pictures = []
        for split in ("train", "val"):
            walk = CocoDetection(out / kind, out / f"annotations/instances_{split}.json")
            assert len(walk) == 8
            for picture, targets in walk:
                assert picture.shape == (96, 160, 3) and len(targets) > 3
                pictures.append(picture)
        assert len(pictures) == 16
    assert opened(out).imgs[1]["recording"] == "one"
    assert opened(out, "val").imgs[1]["recording"] == "two"


def test_variants_have_identical_labels_whatever_the_trust(drive, tmp_path):
    folder = drive(low=111, chunks=1)
    files = {}
    for variant in ("sim", "real", "paired"):
        coco.export(Selection(recordings=(folder,), variant=variant), tmp_path / variant)
        content = json.loads((tmp_path / variant / "annotations/instances_train.json").read_text())
        files[variant] = {key: content[key] for key in ("images", "annotations", "categories")}
    assert files["sim"] == files["real"] == files["paired"]
    ignored = [row for row in files["sim"]["annotations"] if row["iscrowd"]]
    assert {row["object_id"] for row in ignored} == {11}
    assert {row["reason"] for row in ignored} == {"low trust"}
    one, other = (tmp_path / kind / kind / "train" for kind in ("sim", "real"))
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    assert cv2.imread(str(one / names[0])).mean() != cv2.imread(str(other / names[0])).mean()


def test_trust_can_be_left_out_of_account(drive, tmp_path):
    folder = drive(low=111, chunks=1)
    coco.export(Selection(recordings=(folder,), rules=Rules(min_trust=0.0)), tmp_path / "out")
    assert not any(
        row.get("reason") == "low trust" for row in opened(tmp_path / "out").anns.values()
    )


def test_a_rider_is_a_person_and_the_bicycle_below_a_bicycle(drive, tmp_path):
    coco.export(Selection(recordings=(drive(chunks=1),)), tmp_path / "out")
    found = opened(tmp_path / "out")
    rows = found.loadAnns(found.getAnnIds(1))
    bicycle = next(row for row in rows if row["category_id"] == 2)
    people = [row for row in rows if row["category_id"] == 1]
    assert bicycle["object_id"] == 15
    rider = next(row for row in people if row["object_id"] is None)
    assert rider["bbox"][1] < bicycle["bbox"][1]
    assert not (found.annToMask(rider) & found.annToMask(bicycle)).any()


@pytest.mark.parametrize("seed", range(12))
def test_runs_are_cocos(seed):
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 12, 2)
    parts, expected = [], []
    for number in range(4):
        whole = np.zeros((height, width), bool)
        top, left = random.integers(0, height), random.integers(0, width)
        top = 0 if number % 2 else top  # so high that runs go on in the next column
        part = random.random((height - top, width - left)) < (0.5, 0.97, 1.0)[seed % 3]
        part.flat[0] = True
        whole[top:, left:] = part
        parts.append((part, (int(left), int(top))))
        expected.append(coco_mask.encode(np.asfortranarray(whole.astype(np.uint8))))
    found = encode_parts(parts, (int(width), int(height)))
    for code, wanted in zip(found, expected, strict=True):
        assert code["size"] == [height, width]
        assert code["counts"] == wanted["counts"].decode()
    assert encode_parts([], (4, 4)) == []


def test_all_masks_of_a_label_are_found_in_one_pass():
    random = np.random.default_rng(5)
    label = np.repeat(random.integers(0, 9, (15, 10)), 3, axis=1).astype(np.int32) << 16
    wanted = set(np.unique(label).tolist()) - {0}
    found = encode_masks(label, wanted)
    assert set(found) == wanted and set(encode_masks(label, {65536})) == {65536}
    for value, code in found.items():
        expected = coco_mask.encode(np.asfortranarray((label == value).astype(np.uint8)))
        assert code["counts"] == expected["counts"].decode()
    assert encode_masks(np.zeros((4, 4), np.int32), {7}) == {}
    whole = encode_masks(np.full((4, 4), 7, np.int32), {7})[7]
    assert coco_mask.decode({**whole, "counts": whole["counts"].encode()}).all()
