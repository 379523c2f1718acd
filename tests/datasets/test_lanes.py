"""Lane lines: of the OpenDRIVE, as a camera sees them, and as OpenLane and CULane."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("carla")
from realmaster_live.datasets import Selection, culane, openlane
from realmaster_live.datasets.ego import FORWARD
from realmaster_live.datasets.lane_sight import seen_lines
from realmaster_live.datasets.road_map import road_map_of
from realmaster_live.datasets.selection import open_drives
from realmaster_live.errors import RecordingError
from realmaster_live.frames.classes import CLASS_IDS

PAINT = CLASS_IDS["road_line"]


@pytest.fixture(scope="module")
def town(town_drive):
    """The roads of the drive's town, and the drive."""
    (drive,) = open_drives(Selection(recordings=(town_drive,)), "lanes")
    return road_map_of(drive), drive


def samples(drive, *streams, every=1):
    return drive.samples(
        "front", Selection(recordings=(drive.recording.folder,), every=every), streams
    )


def test_the_roads_are_the_towns(town):
    roads, _ = town
    kinds = {(line.kind, line.colour) for line in roads.lines}
    assert {("solid", "white"), ("broken", "white"), ("curb", "white")} <= kinds
    for line in roads.lines:
        steps = np.linalg.norm(np.diff(line.points, axis=0), axis=1)
        assert len(line.points) > 1 and steps.max() < 1.6
    driving = [lane for lane in roads.lanes.values() if lane.kind == "driving"]
    assert {lane.kind for lane in roads.lanes.values()} >= {"driving", "sidewalk"}
    for lane in driving:
        width = np.linalg.norm(lane.left - lane.right, axis=1)
        np.testing.assert_allclose(width, 3.5, atol=0.05)
        ahead = lane.centre[1] - lane.centre[0]
        to_left = lane.left[0] - lane.centre[0]
        assert ahead[0] * to_left[1] - ahead[1] * to_left[0] > 0  # seen from above, z up
        assert lane.successors and all(key in roads.lanes for key in lane.successors)
    assert roads.crossings and all(len(outline) == 4 for outline in roads.crossings)


def test_solid_lines_lie_on_their_paint(town):
    """What is near and visible is drawn as a road line, within the rounding of a pixel."""
    roads, drive = town
    on, points, hidden = 0, 0, 0
    for sample in samples(drive, "depth", "semantic", every=4):
        paint = (sample.frame.labels["semantic"] == PAINT).astype(np.uint8)
        paint = cv2.dilate(paint, np.ones((3, 3)))
        for one in seen_lines(roads, sample):
            assert one.points[:, 2].min() > 0.9 and one.pixels.min() >= 0
            hidden += (~one.visible).sum()
            near = one.visible & (one.points[:, 2] < 12)
            if one.line.kind == "solid":
                columns, rows = one.pixels[near].astype(int).T
                on += paint[rows, columns].sum()
                points += near.sum()
    assert points > 50 and on / points > 0.9 and hidden > 0


def test_what_is_nearer_hides_a_line(town):
    roads, drive = town
    sample = next(samples(drive, "depth"))
    before = seen_lines(roads, sample)
    assert any(one.visible[one.points[:, 2] > 8].any() for one in before)
    depth = sample.frame.labels["depth"]
    depth[:] = np.minimum(depth, 6.0)
    for one in seen_lines(roads, sample):
        assert not one.visible[one.points[:, 2] > 8].any()


def test_openlane_fields_are_those_of_its_documentation(town_drive, tmp_path):
    out = tmp_path / "out"
    summary = openlane.export(Selection(recordings=(town_drive,), every=2, variant="paired"), out)
    files = sorted((out / "lane3d/training").rglob("*.json"))
    assert len(files) == 16 and summary.frames == 16 and summary.total("labels")["white solid"]
    scenes = json.loads((out / "scene/scene.json").read_text())
    attributes, categories = set(), set()
    for path in files:
        content = json.loads(path.read_text())
        assert {*content} == {"intrinsic", "extrinsic", "lane_lines", "file_path"}
        for images in ("images", "images_sim"):
            assert cv2.imread(str(out / images / content["file_path"])).shape == (180, 320, 3)
        assert scenes[content["file_path"]]["weather"] == "clear"
        intrinsic, extrinsic = (np.array(content[key]) for key in ("intrinsic", "extrinsic"))
        for line in content["lane_lines"]:
            xyz, uv = np.array(line["xyz"]), np.array(line["uv"])
            assert xyz.shape == (3, len(line["visibility"])) and uv.shape == (2, xyz.shape[1])
            seen = intrinsic @ np.linalg.inv(FORWARD[:3, :3]) @ xyz  # to x right, y down, z ahead
            np.testing.assert_allclose(seen[:2] / seen[2], uv, atol=0.1)
            ground = extrinsic[:3, :3] @ xyz + extrinsic[:3, 3:]  # x ahead of the vehicle, z up
            assert (ground[0] > 0).all() and np.abs(ground[2][:5]).max() < 0.6
            assert sum(line["visibility"]) >= 3
            attributes.add(line["attribute"])
            categories.add(line["category"])
    assert {2, 3} <= attributes <= {0, 1, 2, 3, 4}
    assert {1, 2} <= categories <= {1, 2, 4, 20, 21}


def test_culane_lists_and_lines(town_drive, tmp_path):
    out = tmp_path / "out"
    culane.export(Selection(recordings=(town_drive,), every=4), out)
    rows = (out / "list/train_gt.txt").read_text().splitlines()
    pictures = (out / "list/train.txt").read_text().splitlines()
    assert [row.split(" ")[0] for row in rows] == pictures and len(rows) == 8
    found = 0
    for row in rows:
        picture, label, *exist = row.split(" ")
        assert picture.startswith("/") and len(exist) == 4
        image = cv2.imread(str(out / label[1:]), cv2.IMREAD_UNCHANGED)
        assert image.shape == cv2.imread(str(out / picture[1:])).shape[:2] == (180, 320)
        present = [number for number, one in enumerate(exist, start=1) if one == "1"]
        assert set(np.unique(image)) - {0} <= set(present)
        lines = (out / picture[1:].replace(".jpg", ".lines.txt")).read_text().splitlines()
        assert len(lines) == len(present)
        for number, line in zip(present, lines, strict=True):
            points = np.array(line.split(), float).reshape(-1, 2)
            assert (np.diff(points[:, 1]) < 0).all()  # from the bottom up
            columns, drawn_rows = np.minimum(points.astype(int), (319, 179)).T
            assert (image[drawn_rows, columns] == number).mean() > 0.6
            assert (points[0, 0] > 160) == (number > 2)
            found += 1
    assert found >= 16


def test_colours_and_sides_of_a_drawn_street(drive, tmp_path):
    """The camera is in the right lane: beside it a yellow dashed and a white line."""
    openlane.export(Selection(recordings=(drive(chunks=1),)), tmp_path / "out")
    (path, *_) = sorted((tmp_path / "out/lane3d/training").rglob("*.json"))
    lines = json.loads(path.read_text())["lane_lines"]
    assert sorted((line["attribute"], line["category"]) for line in lines) == [
        (1, 2), (2, 7), (3, 2),
    ]  # fmt: skip
    beside = {line["attribute"]: line["xyz"][1][0] for line in lines}  # to the left of the camera
    assert [beside[number] for number in (1, 2, 3)] == pytest.approx([5.25, 1.75, -1.75], abs=0.1)


@pytest.mark.parametrize("export", [openlane.export, culane.export])
def test_a_recording_without_roads_says_so(drive, tmp_path, export):
    with pytest.raises(RecordingError, match=r"OpenDRIVE of Town01 .* record again"):
        export(Selection(recordings=(drive("none", roads=False),)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
