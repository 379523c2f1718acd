"""Cityscapes exports, read as cityscapesScripts and torchvision read the original."""

import csv
import json
import re

import cv2
import numpy as np
import pytest

from realmaster_live.annotations import pixels_of
from realmaster_live.datasets import Selection, cityscapes
from realmaster_live.datasets.categories import CITYSCAPES_LABELS
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.recording import Recording

NAME = re.compile(r"[a-z0-9]+_\d{6}_\d{6}")
LABELS = {label.id: label for label in CITYSCAPES_LABELS}


def frames(out, split="train"):
    """Yield name, picture and maps by torchvision's rule: names from leftImg8bit, maps beside."""
    for city in sorted((out / "leftImg8bit" / split).iterdir()):
        for path in sorted(city.iterdir()):
            name = path.name.removesuffix("_leftImg8bit.png")
            assert NAME.fullmatch(name) and name.startswith(city.name)
            folder = out / "gtFine" / split / city.name
            maps = {
                kind: cv2.imread(str(folder / f"{name}_gtFine_{kind}.png"), cv2.IMREAD_UNCHANGED)
                for kind in ("labelIds", "instanceIds", "labelTrainIds", "color")
            }
            yield name, cv2.imread(str(path)), maps


def check(maps):
    """The rules of cityscapesScripts' evaluation on one frame's ground truth."""
    ids, instances = maps["labelIds"], maps["instanceIds"].astype(int)
    assert ids.dtype == np.uint8 and maps["instanceIds"].dtype == np.uint16
    assert set(np.unique(ids)) <= set(LABELS)
    of_instance = np.where(instances >= 1000, instances // 1000, instances)
    np.testing.assert_array_equal(of_instance, ids)
    for number in np.unique(instances[instances >= 1000]):
        assert LABELS[number // 1000].instances
    trained = np.array([LABELS[k].train_id if k in LABELS else 255 for k in range(256)])
    np.testing.assert_array_equal(trained[ids], maps["labelTrainIds"])
    colors = np.array([LABELS[k].color if k in LABELS else (0, 0, 0) for k in range(256)])
    np.testing.assert_array_equal(colors[ids], maps["color"][..., 2::-1])


def test_maps_of_a_drive_through_the_town(town_drive, tmp_path):
    summary = cityscapes.export(Selection(recordings=(town_drive,)), tmp_path)
    samples = Recording(town_drive).samples("front", streams=("semantic", "instance"))
    found = list(frames(tmp_path))
    assert len(found) == summary.frames == 32
    kinds = set()
    for (name, picture, maps), sample in zip(found, samples, strict=True):
        assert name == f"minitown07_000000_{sample.frame.frame_id:06d}"
        assert picture.shape == (180, 320, 3)
        check(maps)
        semantic = sample.frame.labels["semantic"]
        assert (maps["labelIds"][semantic == CLASS_IDS["road"]] == 7).all()
        assert (maps["labelIds"][semantic == CLASS_IDS["road_line"]] == 7).all()
        assert (maps["labelTrainIds"][semantic == CLASS_IDS["sky"]] == 10).all()
        kinds |= set(np.unique(maps["labelIds"]))
    assert {7, 8, 11, 23, 24, 26} <= kinds


def test_each_thing_that_is_kept_is_an_instance(drive, tmp_path):
    folder, out = drive(chunks=1), tmp_path / "out"
    cityscapes.export(Selection(recordings=(folder,)), out)
    sample = next(Recording(folder).samples("front", streams=("instance",)))
    _, _, maps = next(frames(out))
    check(maps)
    values = []
    for one in sample.annotations:
        if one.class_id == CLASS_IDS["traffic_light"]:
            continue
        (left, top), mask = pixels_of(one, sample.frame.labels["instance"])
        part = maps["instanceIds"][top : top + mask.shape[0], left : left + mask.shape[1]]
        (value,) = set(part[mask])
        assert (maps["instanceIds"] == value).sum() == one.pixels
        values.append(int(value))
    assert sorted(values) == [24000, 25000, 26000, 26001, 26002, 33000]


def test_low_trust_is_unlabeled_and_small_things_are_groups(drive, tmp_path):
    from realmaster_live.datasets import Rules

    folder, out = drive(chunks=1, low=111), tmp_path / "out"
    cityscapes.export(Selection(recordings=(folder,), rules=Rules(min_pixels=150)), out)
    sample = next(Recording(folder).samples("front", streams=("instance",)))
    _, _, maps = next(frames(out))
    check(maps)
    instance = sample.frame.labels["instance"]
    distrusted = instance == CLASS_IDS["car"] << 16 | 111
    assert (maps["labelIds"][distrusted] == 0).all()
    assert (maps["labelTrainIds"][distrusted] == 255).all()
    small = instance == CLASS_IDS["car"] << 16 | 112
    assert 0 < small.sum() < 150
    assert (maps["instanceIds"][small] == 26).all() and (maps["labelTrainIds"][small] == 13).all()


def test_pairs_share_their_labels(drive, tmp_path):
    out = tmp_path / "out"
    cityscapes.export(
        Selection(recordings=(drive(cameras=("front", "back")),), variant="paired"), out
    )
    names = [
        sorted(path.name for path in (out / tree / "train/town01").iterdir())
        for tree in ("leftImg8bit", "leftImg8bit_sim")
    ]
    assert names[0] == names[1] and len(names[0]) == 16
    assert {name.split("_")[1] for name in names[0]} == {"000000", "000001"}
    assert len(list((out / "gtFine/train/town01").iterdir())) == 4 * 16


def test_a_map_that_does_not_cover_a_class_is_named(drive, tmp_path):
    from realmaster_live.datasets.categories import CITYSCAPES, read_categories
    from realmaster_live.datasets.folder import ExportOptions

    path = tmp_path / "mine.toml"
    path.write_text('[classes]\nroad = "road"\nsky = "sky"\ncar = "car"\n')
    options = ExportOptions(categories=read_categories(path, CITYSCAPES.ids))
    with pytest.raises(RecordingError, match=r"mine.toml, got 4 without one: .*rider"):
        cityscapes.export(
            Selection(recordings=(drive(chunks=1),)), tmp_path / "out", options=options
        )
    path.write_text('[classes]\nroad = "road"\n[ids]\nroad = 77\n')
    options = ExportOptions(categories=read_categories(path))
    with pytest.raises(ConfigError, match="Cityscapes' own numbers"):
        cityscapes.export(
            Selection(recordings=(drive("other", chunks=1),)), tmp_path / "out2", options=options
        )


def test_polygons_are_drawn_as_the_maps(town_drive, drive, tmp_path):
    """By cityscapesScripts' own painters, but for one pixel in a thousand."""
    pytest.importorskip("cityscapesscripts")
    from cityscapesscripts.helpers.annotation import Annotation
    from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
    from cityscapesscripts.preparation.json2labelImg import createLabelImage

    selection = Selection(recordings=(town_drive, drive(chunks=1)), every=4)
    cityscapes.export(selection, tmp_path / "out", polygons=True)
    paths = sorted((tmp_path / "out/gtFine").rglob("*_polygons.json"))
    assert len(paths) == 8 + 1
    for path in paths:
        annotation = Annotation()
        annotation.fromJsonFile(str(path))
        for kind, drawn in (
            ("labelIds", createLabelImage(annotation, "ids")),
            ("instanceIds", createInstanceImage(annotation, "ids")),
        ):
            file = path.with_name(path.name.replace("polygons.json", f"{kind}.png"))
            stored = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            if kind == "instanceIds":  # they count in another order
                counts = [
                    np.bincount(np.unique(one) // 1000) for one in (stored, np.asarray(drawn))
                ]
                assert counts[0][24:].tolist() == counts[1][24:].tolist()
            else:
                assert (np.asarray(drawn) != stored).mean() < 1e-3


def test_panoptic_pictures_are_made_of_it(drive, tmp_path, capsys):
    pytest.importorskip("cityscapesscripts")
    from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic

    cityscapes.export(Selection(recordings=(drive(chunks=1),)), tmp_path / "out")
    convert2panoptic(str(tmp_path / "out/gtFine"), str(tmp_path), setNames=["train"])
    content = json.loads((tmp_path / "cityscapes_panoptic_train.json").read_text())
    assert len(content["annotations"]) == len(content["images"]) == 4
    names = {row["id"]: row["name"] for row in content["categories"]}
    found = [names[row["category_id"]] for row in content["annotations"][0]["segments_info"]]
    assert found.count("car") == 3 and {"road", "sky", "person", "rider", "bicycle"} <= {*found}


def test_every_picture_has_its_facts(drive, tmp_path):
    folder = drive(chunks=1, low=111, licence="CC-BY-4.0", weather="night rain", route="loop")
    cityscapes.export(Selection(recordings=(folder,)), tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out/frames.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == [name for name, *_ in frames(tmp_path / "out")]
    facts = {key: rows[0][key] for key in ("split", "town", "route", "weather", "licence")}
    assert facts == {
        "split": "train", "town": "Town01", "route": "loop", "weather": "night rain",
        "licence": "CC-BY-4.0",
    }  # fmt: skip
    assert float(rows[0]["trust"]) == pytest.approx(0.9)
