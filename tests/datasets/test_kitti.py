"""KITTI exports, read in the order of fields that the official development kit states."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from realmaster_live.datasets import Selection, SplitRule, kitti
from realmaster_live.datasets.frames_csv import HEADER
from realmaster_live.recording import Recording


@dataclass
class Row:
    """A line of a label file: devkit_object/readme.txt, "Data Format Description"."""

    kind: str
    truncated: float
    occluded: int
    alpha: float
    bbox: np.ndarray  # left, top, right, bottom, whole numbers being pixels' middles
    dimensions: np.ndarray  # height, width, length
    location: np.ndarray  # of the middle of the bottom, in camera axes
    rotation_y: float

    @classmethod
    def read(cls, line):
        words = line.split()
        assert len(words) == 15
        numbers = [float(word) for word in words[1:]]
        return cls(
            words[0], numbers[0], int(words[2]), numbers[2], np.array(numbers[3:7]),
            np.array(numbers[7:10]), np.array(numbers[10:13]), numbers[13],
        )  # fmt: skip

    def corners(self):
        """The (8, 3) corners as the devkit's computeBox3D.m turns and places them."""
        height, width, length = self.dimensions
        x = np.array([1, 1, -1, -1, 1, 1, -1, -1]) * length / 2
        y = np.array([0, 0, 0, 0, -1, -1, -1, -1]) * height
        z = np.array([1, -1, -1, 1, 1, -1, -1, 1]) * width / 2
        cos, sin = np.cos(self.rotation_y), np.sin(self.rotation_y)
        turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        return (turn @ np.stack([x, y, z])).T + self.location


def matrices(path):
    lines = (line.split(":") for line in path.read_text().splitlines())
    return {name: np.array(numbers.split(), float) for name, numbers in lines}


def frames(out, split):
    """Yield number, picture, rows and P2 of a split."""
    for number in (out / f"ImageSets/{split}.txt").read_text().split():
        folder = out / "training"
        picture = cv2.imread(str(next((folder / "image_2").glob(f"{number}.*"))))
        lines = (folder / f"label_2/{number}.txt").read_text().splitlines()
        calibration = matrices(folder / f"calib/{number}.txt")
        assert set(calibration) == {
            *(f"P{k}" for k in range(4)), "R0_rect", "Tr_velo_to_cam", "Tr_imu_to_velo",
        }  # fmt: skip
        yield number, picture, [Row.read(line) for line in lines], calibration["P2"].reshape(3, 4)


def outline(row, matrix):
    """The box around the projected corners, KITTI's pixels."""
    points = np.concatenate([row.corners(), np.ones((8, 1))], 1) @ matrix.T
    points = points[:, :2] / points[:, 2:]
    return np.concatenate([points.min(0), points.max(0)])


def test_boxes_in_space_reproject_onto_the_masks_boxes(drive, tmp_path):
    """The drawn things are boxes: what P2 makes of one is its mask's box, within two pixels."""
    out = tmp_path / "out"
    kitti.export(Selection(recordings=(drive(),)), out)
    compared = 0
    for _, picture, rows, matrix in frames(out, "train"):
        assert picture.shape == (96, 160, 3)
        for row in rows:
            if row.kind == "DontCare" or row.occluded or row.truncated > 0:
                continue
            assert row.bbox == pytest.approx(outline(row, matrix), abs=2.0), row
            compared += 1
    assert compared > 15


def test_fields_are_the_simulators(drive, tmp_path):
    out = tmp_path / "out"
    folder = drive(chunks=1)
    kitti.export(Selection(recordings=(folder,)), out)
    _, _, rows, matrix = next(frames(out, "train"))
    sample = next(Recording(folder).samples("front", streams=()))
    intrinsics = sample.frame.intrinsics
    less = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])  # KITTI's pixels
    np.testing.assert_allclose(matrix[:, :3], intrinsics - less, atol=1e-6)
    cars = [row for row in rows if row.kind == "Car"]
    ahead = next(row for row in cars if row.rotation_y == pytest.approx(-np.pi / 2, abs=0.02))
    assert ahead.dimensions == pytest.approx((1.5, 2.0, 4.8))  # height, width, length
    # 17 m ahead and 1 m to the left of the world's zero; the camera is 0.5 m ahead, 1.6 m up
    assert ahead.location == pytest.approx((-1.0, 1.6, 16.5), abs=0.02)
    angle = np.arctan2(ahead.location[0], ahead.location[2])
    assert ahead.alpha == pytest.approx(ahead.rotation_y - angle, abs=0.01)
    across = next(row for row in cars if row.dimensions == pytest.approx((1.6, 2.1, 5.0)))
    assert across.rotation_y == pytest.approx(-np.pi, abs=0.02) or across.rotation_y == (
        pytest.approx(np.pi, abs=0.02)
    )
    assert across.occluded == 2  # by more than a half
    parked = next(row for row in cars if row.dimensions == pytest.approx((1.4, 1.8, 4.0)))
    assert parked.truncated > 0.1 and parked.bbox[0] == 0
    assert sum(row.kind == "Pedestrian" for row in rows) == 1


def test_a_rider_and_the_bicycle_are_one_cyclist(drive, tmp_path):
    out = tmp_path / "out"
    folder = drive(chunks=1)
    kitti.export(Selection(recordings=(folder,)), out)
    _, _, rows, _ = next(frames(out, "train"))
    (cyclist,) = [row for row in rows if row.kind == "Cyclist"]
    sample = next(Recording(folder).samples("front", streams=()))
    parts = [one.visible for one in sample.annotations if one.mask_id == 115]
    assert len(parts) == 2
    low, high = np.min(parts, axis=0), np.max(parts, axis=0)
    assert cyclist.bbox == pytest.approx((*low[:2], *(high[2:] - 1)))
    assert cyclist.dimensions == pytest.approx((1.7, 0.6, 1.7))
    assert not any(row.kind == "Misc" for row in rows)


def test_what_cannot_be_trusted_is_dont_care(drive, tmp_path):
    out = tmp_path / "out"
    kitti.export(Selection(recordings=(drive(low=114, chunks=1),)), out)
    _, _, rows, _ = next(frames(out, "train"))
    assert not any(row.kind == "Pedestrian" for row in rows)
    line = next(
        line
        for line in (out / "training/label_2/000000.txt").read_text().splitlines()
        if line.startswith("DontCare")
    )
    assert line.split()[1:4] == ["-1", "-1", "-10"]
    assert line.split()[8:] == ["-1", "-1", "-1", "-1000", "-1000", "-1000", "-10"]


def test_numbers_run_on_and_pairs_lie_beside_each_other(drive, tmp_path):
    out = tmp_path / "out"
    folders = drive("one", town="Town01", cameras=("front", "back")), drive("two", town="Town02")
    split = SplitRule(train=("Town02",), val=("Town01",))
    kitti.export(Selection(recordings=folders, variant="paired", split=split), out, suffix=".jpg")
    numbers = [int(number) for number, *_ in frames(out, "val")]
    assert numbers == list(range(16))
    assert [int(number) for number, *_ in frames(out, "train")] == list(range(16, 24))
    names = [
        sorted(path.name for path in (out / "training" / images).iterdir())
        for images in ("image_2", "image_2_sim")
    ]
    assert names[0] == names[1] and len(names[0]) == 24
    rows = (out / "frames.csv").read_text().splitlines()
    assert rows[0].split(",") == list(HEADER) and rows[9].split(",")[:4] == [
        "000008",
        "val",
        "one",
        "back",
    ]


def test_a_drive_through_the_town(town_drive, tmp_path):
    kitti.export(Selection(recordings=(town_drive,)), tmp_path)
    seen = 0
    for _, _, rows, matrix in frames(tmp_path, "train"):
        for row in rows:
            if row.kind == "DontCare" or row.occluded or row.truncated > 0:
                continue
            left, top, right, bottom = outline(row, matrix)
            assert left - 2 <= row.bbox[0] and row.bbox[2] <= right + 2
            assert top - 2 <= row.bbox[1] and row.bbox[3] <= bottom + 2
            seen += 1
    assert seen > 10
