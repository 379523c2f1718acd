"""`realmaster dataset export`, as users call it."""

import json

import pytest
from driven_scene import record_drive

from realmaster_live.cli import main
from realmaster_live.datasets.formats import FORMATS


@pytest.fixture(scope="module")
def towns(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drives")
    return [
        str(record_drive(folder / town.lower(), town=town, chunks=1))
        for town in ("Town01", "Town02", "Town03")
    ]


def test_the_help_lists_the_table_of_formats(capsys):
    with pytest.raises(SystemExit):
        main(["dataset", "export", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for name, one in FORMATS.items():
        assert f"{name}: {one.contents}" in shown
    assert "COCO: write a second file of each split with outlines in place of run-" in shown


@pytest.mark.parametrize(
    ("flags", "files"),
    [
        (["--to", "coco"], ["real/train", "annotations/instances_train.json"]),
        (["--to", "yolo", "--segments"], ["images/real/train", "data-real.yaml"]),
        (["--to", "kitti", "--pictures", "jpg"], ["training/image_2/000000.jpg", "frames.csv"]),
        (["--to", "cityscapes"], ["leftImg8bit/train/town01", "gtFine/train/town01"]),
    ],
)
def test_formats(towns, tmp_path, capsys, flags, files):
    assert main(["dataset", "export", *towns, "--out", str(tmp_path / "out"), *flags]) == 0
    for file in files:
        assert (tmp_path / "out" / file).exists(), file
    output = capsys.readouterr().out
    assert f"12 frames as {flags[1]}, real: train 12 (3 recordings)" in output
    assert f"wrote {tmp_path / 'out'} in" in output


def test_splits_rules_and_resuming(towns, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["dataset", "export", *towns, "--to", "coco", "--out", str(out), "--variant", "sim"]
    command += ["--split", "0.34,0.33,0.33", "--test", "Town02", "--every", "2"]
    command += ["--min-pixels", "150", "--max-distance", "30"]
    assert main(command) == 0
    output = capsys.readouterr().out
    assert "train 2 (1 recordings), val 2 (1 recordings), test 2 (1 recordings)" in output
    assert "too few pixels" in output
    test = json.loads((out / "annotations/instances_test.json").read_text())
    assert {image["recording"] for image in test["images"]} == {"town02"}
    assert all(a["iscrowd"] for a in test["annotations"] if a["area"] < 150)
    assert main(command) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert "kept from an earlier run: town01, town02, town03" in capsys.readouterr().out
    assert main([*command, "--overwrite"]) == 0


def test_categories_of_ones_own(towns, tmp_path, capsys):
    path = tmp_path / "mine.toml"
    path.write_text('[classes]\ncar = "vehicle"\n')
    command = ["dataset", "export", *towns, "--to", "coco", "--out", str(tmp_path / "out")]
    assert main([*command, "--categories", str(path)]) == 1
    assert "in the map mine.toml, got 4 without one: traffic_light (" in capsys.readouterr().err
    assert main([*command, "--categories", str(path), "--unmapped", "none"]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--to", "pascal"], "one of coco, panoptic"),
        (["--to", "coco", "--split", "0.8,x"], "for --split, got '0.8,x'"),
        (["--to", "coco", "--split", "0.5,0.2"], "add up to 1"),
        (["--to", "coco", "--min-trust", "7"], "min_trust (--min-trust) from 0 to 1"),
        (["--to", "coco", "--cameras", "roof"], "cameras among front"),
        (["--to", "yolo", "--polygons"], "--polygons with --to coco, cityscapes, got it with yolo"),
        (["--to", "coco", "--depth"], "expected --depth with --to mcap, got it with coco: leave"),
        (["--to", "coco", "--pictures", "jpg"], "--to kitti, kitti_tracking, kitti_odometry, got"),
        (["--to", "mcap", "--unmapped", "x"], "nuscenes, arrow_123d, got it with mcap: leave it"),
        (["--to", "coco", "--split-by", "route", "--split", "0.5,0.3,0.2", "--val", "x"], "got x"),
    ],
)
def test_wrong_uses(towns, tmp_path, capsys, flags, message):
    assert main(["dataset", "export", *towns, "--out", str(tmp_path / "out"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_no_recording(tmp_path, capsys):
    command = ["dataset", "export", str(tmp_path), "--to", "coco", "--out", str(tmp_path / "out")]
    assert main(command) == 1
    assert "meta.json, got no such file" in capsys.readouterr().err
