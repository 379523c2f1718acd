"""Words for CARLA's classes, and maps of the user's own."""

import re

import numpy as np
import pytest

from realmaster_live.datasets import Selection, cityscapes, coco, panoptic
from realmaster_live.datasets.categories import (
    CITYSCAPES,
    CITYSCAPES_LABELS,
    COCO,
    KITTI,
    YOLO,
    read_categories,
)
from realmaster_live.datasets.folder import ExportOptions
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.frames.classes import CLASS_IDS, CLASS_NAMES


@pytest.mark.parametrize("categories", [COCO, YOLO, KITTI, CITYSCAPES])
def test_every_class_of_carlas_is_covered(categories):
    for class_id in range(len(CLASS_NAMES)):
        word = categories.of(class_id)
        assert word == "" or word in categories.ids
    with pytest.raises(RecordingError, match=r"class 29 \(unknown to CARLA\), found 7 times"):
        categories.of(29, 7)


def test_words():
    pairs = {
        "pedestrian": ("person", "Pedestrian", "person"),
        "rider": ("person", "Cyclist", "rider"),
        "car": ("car", "Car", "car"),
        "traffic_light": ("traffic light", "", "traffic light"),
        "road_line": ("", "", "road"),
    }
    for name, words in pairs.items():
        assert tuple(one.of(CLASS_IDS[name]) for one in (COCO, KITTI, CITYSCAPES)) == words
    assert COCO.ids["person"] == 1 and COCO.ids["truck"] == 8 and COCO.ids["traffic light"] == 10
    assert sorted(YOLO.ids.values()) == list(range(9))
    assert len(CITYSCAPES_LABELS) == 34
    assert {label.train_id for label in CITYSCAPES_LABELS} == {*range(19), 255}


def test_a_table_names_what_a_map_does_not_cover():
    labels = np.full((4, 5), CLASS_IDS["road"], np.uint8)
    assert CITYSCAPES.table(labels)[CLASS_IDS["road"]] == 7
    labels[0, :3] = 40
    with pytest.raises(RecordingError, match=r"class 40 .* found 3 times"):
        CITYSCAPES.table(labels)


def test_a_map_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[classes]\ncar = "vehicle"\n15 = "vehicle"\npedestrian = "human"\nroad = ""\n')
    mine = read_categories(path)
    assert (mine.of(14), mine.of(15), mine.of(12), mine.of(1)) == (
        "vehicle",
        "vehicle",
        "human",
        "",
    )
    assert mine.ids == {"vehicle": 0, "human": 1}
    with pytest.raises(RecordingError, match=r"mine.toml, got class 16 \(bus\)"):
        mine.of(16)
    path.write_text('[classes]\ncar = "vehicle"\n[ids]\nvehicle = 5\n')
    assert read_categories(path).ids == {"vehicle": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a table .classes.*, got none: write"),
        ('ids = 3\n[classes]\ncar = "x"\n', "a table .classes."),
        ("version https://git-lfs.github.com/spec/v1\n", r"got a Git LFS pointer \(run"),
        ("[classes", "a table .classes."),
        ('[classes]\ncarr = "x"\n', "got 'carr'"),
        ('[classes]\ncar = "x"\n[id]\nx = 1\n', "got id: remove"),
        ('[classes]\ncar = "x"\n[ids]\ny = 1\n', "among y .* got x"),
    ],
)
def test_maps_that_cannot_be_used(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_categories(path)


def test_a_dataset_with_numbers_of_its_own_allows_no_other_words(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[classes]\ncar = "cart"\n')
    with pytest.raises(ConfigError, match="got cart"):
        read_categories(path, CITYSCAPES.ids)
    path.write_text('[classes]\ncar = "caravan"\n')
    assert read_categories(path, CITYSCAPES.ids).ids["caravan"] == 29


def test_a_star_stands_for_all_other_classes(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[classes]\ncar = "vehicle"\n"*" = ""\n')
    found = read_categories(path)
    assert found.of(CLASS_IDS["car"]) == "vehicle"
    assert {found.of(number) for number in range(256)} == {"vehicle", ""}
    assert found.ids == {"vehicle": 0}
    path.write_text('[classes]\ncar = "vehicle"\n"*" = "other"\n')
    assert read_categories(path).of(CLASS_IDS["road"]) == "other"


def test_all_recorded_classes_without_a_category_are_named_at_once(drive, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[classes]\ncar = "car"\nroad = "road"\n')
    options = ExportOptions(categories=read_categories(path))
    selection = Selection(recordings=(drive(chunks=1),))
    for export, reads_pixels in ((coco.export, False), (panoptic.export, True)):
        with pytest.raises(RecordingError) as caught:
            export(selection, tmp_path / "out", options=options)
        words = str(caught.value)
        for name in ("pedestrian", "rider", "bicycle", "traffic_light"):
            assert re.search(rf"{name} \(\d+ objects", words), words
        assert bool(re.search(r"sky \(\d+ pixels\)", words)) == reads_pixels
        assert "car (" not in words and "--unmapped" in words
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("rest", "names"), [("thing", {"car", "thing"}), ("none", {"car"})])
def test_the_rest_gets_one_category_or_none(drive, tmp_path, rest, names):
    path = tmp_path / "mine.toml"
    path.write_text('[classes]\ncar = "car"\n')
    options = ExportOptions(categories=read_categories(path), unmapped=rest)
    summary = coco.export(
        Selection(recordings=(drive(chunks=1),)), tmp_path / "out", options=options
    )
    assert set(summary.total("labels")) == names


def test_cityscapes_takes_only_its_own_names_for_the_rest(drive, tmp_path):
    selection = Selection(recordings=(drive(chunks=1),))
    with pytest.raises(ConfigError, match=r"--unmapped with one of unlabeled, .* got 'thing'"):
        cityscapes.export(selection, tmp_path / "out", options=ExportOptions(unmapped="thing"))
    cityscapes.export(selection, tmp_path / "out", options=ExportOptions(unmapped="static"))
