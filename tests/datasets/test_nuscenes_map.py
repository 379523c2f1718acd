"""nuScenes' map expansion, by the references and fields that nuscenes-devkit's map_api follows."""

import itertools
import json

import cv2
import numpy as np
import pytest

pytest.importorskip("carla")
from realmaster_live.datasets import Selection, nuscenes
from realmaster_live.datasets.nuscenes_map import LAYERS, simplified
from realmaster_live.datasets.road_map import road_map_of
from realmaster_live.datasets.selection import open_drives


@pytest.fixture(scope="module")
def exported(town_drive, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "nuscenes"
    nuscenes.export(Selection(recordings=(town_drive,), variant="paired"), out)
    return out


@pytest.fixture(scope="module")
def layers(exported):
    """The map, loaded as NuScenesMap does: token -> row of every layer."""
    (log,) = json.loads((exported / "sim/v1.0-realmaster/log.json").read_text())
    path = f"maps/expansion/{log['location']}.json"
    assert (exported / "sim" / path).read_bytes() == (exported / "real" / path).read_bytes()
    content = json.loads((exported / "sim" / path).read_text())
    assert content["version"] >= "1.3" and min(content["canvas_edge"]) > 0
    found = {layer: {row["token"]: row for row in content[layer]} for layer in LAYERS}
    assert all(len(found[layer]) == len(content[layer]) for layer in LAYERS)
    return found | {name: content[name] for name in ("arcline_path_3", "connectivity")}


def corners(layers, token):
    """`extract_polygon`: the outline of a polygon."""
    nodes = [layers["node"][node] for node in layers["polygon"][token]["exterior_node_tokens"]]
    return np.array([(node["x"], node["y"]) for node in nodes])


def test_every_token_leads_somewhere(layers):
    for layer in ("road_segment", "road_block", "lane", "ped_crossing", "walkway", "carpark_area",
                  "lane_connector"):  # fmt: skip
        assert layers[layer], layer
        for row in layers[layer].values():
            assert len(corners(layers, row["polygon_token"])) >= 3
    (area,) = layers["drivable_area"].values()
    assert len(area["polygon_tokens"]) >= len(layers["lane"]) + len(layers["lane_connector"])
    assert all(len(corners(layers, token)) >= 4 for token in area["polygon_tokens"])
    for layer in ("lane_divider", "road_divider"):
        assert layers[layer]
        for row in layers[layer].values():
            assert all(
                one in layers["node"] for one in layers["line"][row["line_token"]]["node_tokens"]
            )
    for row in layers["lane"].values():
        for end in ("from", "to"):
            assert len(layers["line"][row[f"{end}_edge_line_token"]]["node_tokens"]) == 2
        for side in ("left", "right"):
            segments = row[f"{side}_lane_divider_segments"]
            assert all(one["node_token"] in layers["node"] for one in segments)
    types = {one["segment_type"] for row in layers["lane"].values()
             for one in row["right_lane_divider_segments"]}  # fmt: skip
    assert "SINGLE_SOLID_WHITE" in types
    for row in layers["road_block"].values():
        assert row["road_segment_token"] in layers["road_segment"]
    assert any(row["is_intersection"] for row in layers["road_segment"].values())


def test_paths_lead_from_lane_to_lane(layers):
    known = {**layers["lane"], **layers["lane_connector"]}
    assert set(layers["connectivity"]) == set(layers["arcline_path_3"]) == set(known)
    for token, path in layers["arcline_path_3"].items():
        for one, after in itertools.pairwise(path):
            np.testing.assert_allclose(one["end_pose"][:2], after["start_pose"][:2])
            x, y, heading = one["start_pose"]
            along = one["segment_length"][1]
            end = x + along * np.cos(heading), y + along * np.sin(heading)
            np.testing.assert_allclose(end, one["end_pose"][:2], atol=1e-6)
        for other in layers["connectivity"][token]["outgoing"]:
            start = layers["arcline_path_3"][other][0]["start_pose"][:2]
            assert np.linalg.norm(np.subtract(path[-1]["end_pose"][:2], start)) < 0.1
            assert token in layers["connectivity"][other]["incoming"]


def test_the_vehicle_drives_on_a_lane(exported, layers):
    poses = json.loads((exported / "sim/v1.0-realmaster/ego_pose.json").read_text())
    outlines = [
        corners(layers, row["polygon_token"]).astype(np.float32)
        for layer in ("lane", "lane_connector")
        for row in layers[layer].values()
    ]
    for pose in poses:
        place = tuple(pose["translation"][:2])
        assert any(cv2.pointPolygonTest(outline, place, False) >= 0 for outline in outlines)


def test_lanes_cover_what_was_seen_of_the_road(layers, town_drive):
    """Pixels of the road, placed by their depth, lie in the drivable area; sidewalks do not."""
    (drive,) = open_drives(Selection(recordings=(town_drive,)), "nuscenes")
    (area,) = layers["drivable_area"].values()
    outlines = [corners(layers, token).astype(np.float32) for token in area["polygon_tokens"]]
    sample = next(
        drive.samples("front", Selection(recordings=(town_drive,)), ("depth", "semantic"))
    )
    depth, semantic = sample.frame.labels["depth"], sample.frame.labels["semantic"]
    rows, columns = np.mgrid[100:180:8, 0:320:16].reshape(2, -1)
    rays = np.linalg.inv(sample.frame.intrinsics) @ [columns + 0.5, rows + 0.5, np.ones(len(rows))]
    points = sample.frame.cam_to_world[:3, :3] @ (rays * depth[rows, columns])
    points = points.T + sample.frame.cam_to_world[:3, 3]
    shares = {}
    for kind in (1, 2):  # road, sidewalk
        wanted = (semantic[rows, columns] == kind) & (depth[rows, columns] < 25)
        inside = [
            any(cv2.pointPolygonTest(one, (x, y), False) >= 0 for one in outlines)
            for x, y, _ in points[wanted].tolist()
        ]
        assert len(inside) > 5
        shares[kind] = np.mean(inside)
    assert shares[1] > 0.9 and shares[2] < 0.5  # kerbs belong to the sidewalk


def test_lines_are_simplified_within_two_centimetres():
    angles = np.linspace(0, np.pi / 2, 60)
    arc = np.stack([20 * np.cos(angles), 20 * np.sin(angles), 0 * angles], axis=1)
    found = simplified(arc)
    assert 10 < len(found) < 30 and (found[[0, -1]] == arc[[0, -1]]).all()
    straight = np.linspace((0.0, 0.0, 0.0), (9.0, 3.0, 0.0), 10)
    assert len(simplified(straight)) == 2


def test_lane_borders_are_the_road_maps(layers, town_drive):
    (drive,) = open_drives(Selection(recordings=(town_drive,)), "nuscenes")
    driving = [lane for lane in road_map_of(drive).lanes.values() if lane.kind == "driving"]
    assert len(driving) == len(layers["lane"]) + len(layers["lane_connector"])
    areas = sum(
        cv2.contourArea(corners(layers, row["polygon_token"]).astype(np.float32))
        for layer in ("lane", "lane_connector")
        for row in layers[layer].values()
    )
    lengths = sum(np.linalg.norm(np.diff(lane.centre, axis=0), axis=1).sum() for lane in driving)
    assert areas == pytest.approx(3.5 * lengths, rel=0.02)
