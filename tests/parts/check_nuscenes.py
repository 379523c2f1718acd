"""Walks a nuScenes data root with nuscenes-devkit, and tells what it found as JSON.

Run by an interpreter that has the devkit: python check_nuscenes.py DATAROOT [VERSION]. The visible
boxes that were recorded lie beside the tables in seen.json where a test has put them there:
[{"timestamp": microseconds, "channel": ..., "center": [x, y, z], "box": [l, t, r, b],
"whole": nothing hides it}, ...].
"""

import json
import sys
from pathlib import Path

import numpy as np
from nuscenes.eval.common.utils import quaternion_yaw
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import BoxVisibility, points_in_box, view_points
from nuscenes.utils.splits import get_scenes_of_split
from PIL import Image
from pyquaternion import Quaternion


def walk(nusc, table, first, count=None):
    """Return the rows from `first` on along next, checking that prev leads back."""
    rows, before, token = [], "", first
    while token:
        row = nusc.get(table, token)
        assert row["prev"] == before, (table, token)
        rows.append(row)
        before, token = token, row["next"]
    assert count is None or len(rows) == count, (table, len(rows), count)
    return rows


def outline(nusc, box, camera, size):
    corners = view_points(box.corners(), camera, normalize=True)[:2]
    low = np.maximum(corners.min(axis=1), 0)
    high = np.minimum(corners.max(axis=1), size)
    return [*low.tolist(), *high.tolist()]


def check(root, version):
    nusc = NuScenes(version=version, dataroot=str(root), verbose=False)
    seen_file = root / version / "seen.json"
    seen = json.loads(seen_file.read_text()) if seen_file.exists() else []
    found = {
        "scenes": len(nusc.scene), "samples": len(nusc.sample), "annotations": 0, "sweeps": 0,
        "channels": sorted({sensor["channel"] for sensor in nusc.sensor}), "boxes": 0,
        "worst_px": 0.0, "loosest_px": 0.0, "points": 0, "speeds": {}, "compared": 0,
        "splits": {
            name: get_scenes_of_split(name, nusc)
            for name in json.loads((root / version / "splits.json").read_text())
        },
    }  # fmt: skip
    for scene in nusc.scene:
        samples = walk(nusc, "sample", scene["first_sample_token"], scene["nbr_samples"])
        assert samples[-1]["token"] == scene["last_sample_token"]
        for channel, first in samples[0]["data"].items():
            data = walk(nusc, "sample_data", first)
            stamps = [row["timestamp"] for row in data]
            assert stamps == sorted(set(stamps)), channel
            assert [row["sample_token"] for row in data if row["is_key_frame"]] == [
                sample["token"] for sample in samples
            ]
            found["sweeps"] += sum(not row["is_key_frame"] for row in data)
            for row in data:
                path = Path(nusc.get_sample_data_path(row["token"]))
                if channel == "LIDAR_TOP":
                    found["points"] += LidarPointCloud.from_file(str(path)).nbr_points()
                else:
                    assert Image.open(path).size == (row["width"], row["height"])
        for sample in samples:
            check_sample(nusc, sample, seen, found)
    for instance in nusc.instance:
        walk(
            nusc,
            "sample_annotation",
            instance["first_annotation_token"],
            instance["nbr_annotations"],
        )
    for row in nusc.sample_annotation:
        speed = float(np.linalg.norm(nusc.box_velocity(row["token"])))
        if not np.isnan(speed):
            found["speeds"].setdefault(row["category_name"], []).append(round(speed, 3))
    return found


def check_sample(nusc, sample, seen, found):
    found["annotations"] += len(sample["anns"])
    for channel, token in sample["data"].items():
        path, boxes, camera = nusc.get_sample_data(token, BoxVisibility.NONE)
        if channel == "LIDAR_TOP":
            points = LidarPointCloud.from_file(path).points[:3]
            for box in boxes:
                row = nusc.get("sample_annotation", box.token)
                box.wlh = box.wlh + 0.05
                inside = int(points_in_box(box, points).sum())
                assert inside >= row["num_lidar_pts"], (inside, row["num_lidar_pts"])
            continue
        size = Image.open(path).size
        record = nusc.get("sample_data", token)
        for box in boxes:
            row = nusc.get("sample_annotation", box.token)
            yaw = quaternion_yaw(Quaternion(row["rotation"]))
            assert np.isfinite(yaw)
            found["boxes"] += 1
            if box.corners()[2].min() <= 0.1:
                continue
            drawn = outline(nusc, box, camera, size)
            for one in seen:
                same = one["timestamp"] == record["timestamp"] and one["channel"] == channel
                if same and np.allclose(one["center"], row["translation"], atol=1e-6):
                    left, top, right, bottom = one["box"]
                    out = [drawn[0] - left, drawn[1] - top, right - drawn[2], bottom - drawn[3]]
                    found["worst_px"] = max(found["worst_px"], *out)
                    if one["whole"]:
                        found["loosest_px"] = max(found["loosest_px"], *(-side for side in out))
                    found["compared"] += 1


if __name__ == "__main__":
    version = sys.argv[2] if len(sys.argv) > 2 else "v1.0-realmaster"
    print(json.dumps(check(Path(sys.argv[1]), version)))
