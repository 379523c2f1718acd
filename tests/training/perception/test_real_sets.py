import json

import cv2
import numpy as np
import pytest

from realmaster_live.errors import PairError
from realmaster_live.training.perception.groups import DETECTED, GROUP_INDEX, IGNORE
from realmaster_live.training.perception.real_sets import read_real_set


def write_cityscapes(folder, part="val"):
    picture = np.zeros((512, 1024, 3), np.uint8)
    picture[..., 2] = 200  # red, as OpenCV writes it
    labels = np.zeros((512, 1024), np.uint8)
    labels[:200], labels[200:] = 23, 7  # sky, road
    labels[100:200, 300:500] = 26
    labels[400:500, 600:640] = 24
    instances = labels.astype(np.uint16)
    instances[100:200, 300:500] = 26001
    instances[400:500, 600:640] = 24  # a group of people: no instance
    for kind, name, image in (
        ("leftImg8bit", "leftImg8bit", picture),
        ("gtFine", "gtFine_labelIds", labels),
        ("gtFine", "gtFine_instanceIds", instances),
    ):
        place = folder / kind / part / "ulm"
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"ulm_000000_000019_{name}.png"), image)


def test_cityscapes_is_read_at_the_networks_width(tmp_path):
    write_cityscapes(tmp_path)
    write_cityscapes(tmp_path, "train")  # not tested on where there is a val part
    test = read_real_set(tmp_path)
    (example,) = test.examples
    picture = example.pictures[test.variant]
    assert picture.shape == (256, 512, 3) and tuple(picture[0, 0]) == (200, 0, 0)
    assert example.groups.shape == (256, 512)
    assert (
        example.groups[10, 10] == GROUP_INDEX["sky"]
        and example.groups[255, 0] == GROUP_INDEX["road"]
    )
    assert example.groups[60, 200] == GROUP_INDEX["vehicle"]
    assert example.groups[220, 305] == GROUP_INDEX["pedestrian"]
    assert example.boxes.corners.tolist() == [[150, 50, 250, 100]]
    assert DETECTED[example.boxes.kinds[0]] == "vehicle"
    # lines are road in Cityscapes
    assert test.merged[GROUP_INDEX["road line"]] == GROUP_INDEX["road"]
    assert test.merged[GROUP_INDEX["sky"]] == GROUP_INDEX["sky"]


def test_cityscapes_labels_that_are_nothing_of_ours_are_ignored(tmp_path):
    write_cityscapes(tmp_path)
    path = next(tmp_path.glob("gtFine/val/ulm/*labelIds.png"))
    cv2.imwrite(str(path), np.full((512, 1024), 4, np.uint8))  # "static"
    assert (read_real_set(tmp_path).examples[0].groups == IGNORE).all()
    path.unlink()
    with pytest.raises(PairError, match="labelIds"):
        read_real_set(tmp_path)


def test_coco_gives_boxes_alone(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    cv2.imwrite(str(tmp_path / "val2017" / "a.jpg"), np.zeros((480, 640, 3), np.uint8))
    facts = {
        "images": [{"id": 5, "file_name": "a.jpg", "width": 640, "height": 480}],
        "categories": [
            {"id": 1, "name": "person"},
            {"id": 3, "name": "car"},
            {"id": 18, "name": "dog"},
        ],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 3, "bbox": [100, 50, 200, 100], "iscrowd": 0},
            {"id": 2, "image_id": 5, "category_id": 1, "bbox": [0, 0, 100, 100], "iscrowd": 1},
            {"id": 3, "image_id": 5, "category_id": 18, "bbox": [9, 9, 90, 90], "iscrowd": 0},
        ],
    }
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(facts))
    test = read_real_set(tmp_path)
    (example,) = test.examples
    assert example.groups is None and example.pictures[test.variant].shape == (384, 512, 3)
    assert example.boxes.corners.tolist() == [[80, 40, 240, 120], [0, 0, 80, 80]]
    assert [DETECTED[kind] for kind in example.boxes.kinds] == ["vehicle", "pedestrian"]
    assert example.boxes.hard.tolist() == [False, True]
    (tmp_path / "val2017" / "a.jpg").unlink()
    with pytest.raises(PairError, match=r"a\.jpg"):
        read_real_set(tmp_path)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(PairError, match="got neither"):
        read_real_set(tmp_path)
    (tmp_path / "leftImg8bit").mkdir()
    with pytest.raises(PairError, match="got none"):
        read_real_set(tmp_path)
