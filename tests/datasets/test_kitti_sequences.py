"""KITTI's tracking and odometry exports, by the fields and files of their development kits."""

import csv

import cv2
import numpy as np
import pytest

from realmaster_live.datasets import Selection, SplitRule, kitti_odometry, kitti_tracking
from realmaster_live.recording import Recording


def sequences(out, split="train"):
    """Yield (name, frames) as evaluate_tracking.py reads a map of sequences."""
    for line in (out / f"evaluate_tracking.seqmap.{split}").read_text().splitlines():
        name, _, first, end = line.split(" ")
        yield name, range(int(first), int(end))


def test_a_track_is_one_object(drive, tmp_path):
    out = tmp_path / "out"
    folder = drive(chunks=2, cameras=("front", "back"))
    kitti_tracking.export(Selection(recordings=(folder,), variant="paired"), out)
    found = dict(sequences(out))
    assert {name: len(frames) for name, frames in found.items()} == {"0000": 8, "0001": 8}
    recording = Recording(folder)
    lengths = {}
    for name, camera in zip(found, ("front", "back"), strict=True):
        rows = [
            line.split(" ")
            for line in (out / f"training/label_02/{name}.txt").read_text().splitlines()
        ]
        assert all(len(row) == 17 for row in rows)
        for place, sample in enumerate(recording.samples(camera, streams=("sim",))):
            for images in ("image_02", "image_02_sim"):
                path = out / f"training/{images}/{name}/{place:06d}.png"
                assert cv2.imread(str(path)).shape == (96, 160, 3)
            known = {
                tuple(np.round(one.thing.size[[2, 1, 0]], 2)): one.thing.object_id
                for one in sample.annotations
                if one.thing is not None
            }
            for row in rows:
                if int(row[0]) == place and row[2] != "DontCare":
                    assert row[3] in "012" and row[4] in "012"
                    number = known[tuple(float(value) for value in row[10:13])]
                    lengths.setdefault((name, row[1]), set()).add(number)
        assert {int(row[0]) for row in rows} == set(range(8))
        calibration = (out / f"training/calib/{name}.txt").read_text().splitlines()
        assert [line.split(" ")[0] for line in calibration] == [
            "P0:", "P1:", "P2:", "P3:", "R_rect", "Tr_velo_cam", "Tr_imu_velo",
        ]  # fmt: skip
    assert len(lengths) > 5 and all(len(numbers) == 1 for numbers in lengths.values())


def test_a_sequence_ends_where_frames_are_missing(drive, tmp_path):
    folders = drive("one", town="Town01", chunks=1), drive("two", town="Town02", chunks=3)
    out = tmp_path / "out"
    selection = Selection(recordings=folders, split=SplitRule(train=("Town02",), val=("Town01",)))
    kitti_tracking.export(selection, out, suffix=".jpg")
    assert [(name, len(frames)) for name, frames in sequences(out, "val")] == [("0000", 4)]
    assert [(name, len(frames)) for name, frames in sequences(out)] == [("0001", 12)]
    rows = list(csv.DictReader((out / "frames.csv").read_text().splitlines()))
    assert [row["name"] for row in rows[3:6]] == ["0000/000003", "0001/000000", "0001/000001"]
    assert [row["recording"] for row in rows[3:5]] == ["one", "two"]


def test_frames_that_are_left_out_split_a_sequence(gap_drive, tmp_path):
    kitti_odometry.export(Selection(recordings=(gap_drive,)), tmp_path / "out", suffix=".jpg")
    names = (tmp_path / "out/ImageSets/train.txt").read_text().split()
    counts = [len((tmp_path / f"out/poses/{name}.txt").read_text().splitlines()) for name in names]
    assert counts == [4, 8]


@pytest.fixture
def gap_drive(tmp_path):
    """A drive in which the second of four chunks is missing."""
    from driven_scene import FPS, SIZE, driven_chunk

    from realmaster_live import ChunkSpec
    from realmaster_live.recording import Recorder

    spec = ChunkSpec(frames=4, height=SIZE[1], width=SIZE[0], fps=FPS)
    with Recorder(tmp_path / "gap", spec) as recorder:
        for index in (0, 2, 3):
            recorder.write(driven_chunk(index, "front"))
    return tmp_path / "gap"


def test_poses_are_those_of_the_cameras(drive, tmp_path):
    out = tmp_path / "out"
    folder = drive(cameras=("front", "back"), labels=())
    kitti_odometry.export(Selection(recordings=(folder,)), out)
    assert (out / "ImageSets/train.txt").read_text().split() == ["00", "01"]
    recording = Recording(folder)
    for name, camera in (("00", "front"), ("01", "back")):
        poses = np.loadtxt(out / f"poses/{name}.txt").reshape(-1, 3, 4)
        samples = list(recording.samples(camera, streams=()))
        places = np.stack([sample.frame.cam_to_world for sample in samples])
        np.testing.assert_allclose(poses[0], np.eye(4)[:3], atol=1e-8)
        np.testing.assert_allclose(
            places[0]
            @ np.concatenate([poses, np.tile([[[0, 0, 0, 1]]], (len(poses), 1, 1))], axis=1),
            places,
            atol=1e-6,
        )
        seconds = np.loadtxt(out / f"sequences/{name}/times.txt")
        np.testing.assert_allclose(seconds, np.arange(8) / 20, atol=1e-6)
        pictures = sorted((out / f"sequences/{name}/image_2").iterdir())
        assert [path.name for path in pictures] == [f"{place:06d}.png" for place in range(8)]
    forward = np.loadtxt(out / "poses/00.txt").reshape(-1, 3, 4)[-1, :, 3]
    assert forward[2] > 1 and abs(forward[0]) < 0.5  # it drives ahead: along z


def test_odometry_opens_in_pykitti(drive, tmp_path):
    pykitti = pytest.importorskip("pykitti")
    out = tmp_path / "out"
    kitti_odometry.export(Selection(recordings=(drive(labels=()),)), out)
    found = pykitti.odometry(str(out), "00")
    assert len(found) == len(found.poses) == 8 and found.get_cam2(7).size == (160, 96)
    assert found.calib.K_cam2[0, 0] > 10
