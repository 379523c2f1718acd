"""nuScenes exports: every token leads somewhere, and the devkit itself finds the boxes."""

import json
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from devkit_python import devkit_python
from driven_scene import SIZE, YAWS_DEG, driven_chunk, mount, record_drive, record_reloaded

from realmaster_live import ChunkSpec
from realmaster_live.datasets import Rules, Selection, SplitRule, nuscenes
from realmaster_live.datasets.folder import ExportOptions
from realmaster_live.datasets.nuscenes_tables import TABLES
from realmaster_live.datasets.nuscenes_taxonomy import channels
from realmaster_live.errors import ConfigError
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.quaternion import to_quaternion
from realmaster_live.recording import Recorder, Recording

CHECK = Path(__file__).parent.parent / "parts/check_nuscenes.py"
# the tables of v1.0: https://github.com/nutonomy/nuscenes-devkit, docs/schema_nuscenes.md
FIELDS = {
    "category": {"name", "description"},
    "attribute": {"name", "description"},
    "visibility": {"level", "description"},
    "instance": {"category_token", "nbr_annotations", "first_annotation_token",
                 "last_annotation_token"},
    "sensor": {"channel", "modality"},
    "calibrated_sensor": {"sensor_token", "translation", "rotation", "camera_intrinsic"},
    "ego_pose": {"translation", "rotation", "timestamp"},
    "log": {"logfile", "vehicle", "date_captured", "location"},
    "scene": {"name", "description", "log_token", "nbr_samples", "first_sample_token",
              "last_sample_token"},
    "sample": {"timestamp", "scene_token", "next", "prev"},
    "sample_data": {"sample_token", "ego_pose_token", "calibrated_sensor_token", "filename",
                    "fileformat", "width", "height", "timestamp", "is_key_frame", "next", "prev"},
    "sample_annotation": {"sample_token", "instance_token", "attribute_tokens", "visibility_token",
                          "translation", "size", "rotation", "num_lidar_pts", "num_radar_pts",
                          "next", "prev"},
    "map": {"log_tokens", "category", "filename"},
}  # fmt: skip
CHAINED = {
    "sample": "sample",
    "sample_data": "sample_data",
    "sample_annotation": "sample_annotation",
}


BICYCLE = CLASS_IDS["bicycle"]  # its mask ends where the rider's begins


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """Two seconds and a half of three cameras, with a second missing after 1.6 s."""
    folder = tmp_path_factory.mktemp("recordings") / "round"
    return record_drive(folder, cameras=tuple(YAWS_DEG), chunks=12, gaps={8: 20})


@pytest.fixture(scope="module")
def exported(drive, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "nuscenes"
    nuscenes.export(Selection(recordings=(drive,), variant="paired"), out)
    return out


def tables_of(root: Path) -> dict[str, dict[str, dict]]:
    texts = {table: (root / f"v1.0-realmaster/{table}.json").read_text() for table in TABLES}
    return {table: {row["token"]: row for row in json.loads(text)} for table, text in texts.items()}


def test_every_row_has_its_fields_and_every_token_leads_to_a_row(exported):
    tables = tables_of(exported / "sim")
    assert set(FIELDS) == set(TABLES)
    for table, rows in tables.items():
        for row in rows.values():
            assert set(row) == FIELDS[table] | {"token"}, table
            for field, value in row.items():
                if field in ("next", "prev"):
                    target = table
                elif field in ("first_sample_token", "last_sample_token"):
                    target = "sample"
                elif field in ("first_annotation_token", "last_annotation_token"):
                    target = "sample_annotation"
                elif field.endswith(("_token", "_tokens")):
                    target = field.rsplit("_token", 1)[0]
                else:
                    continue
                for token in [value] if isinstance(value, str) else value:
                    assert token in tables[target] or (token == "" and field in ("next", "prev"))
    assert tables["sample_annotation"]
    for row in tables["sample_data"].values():
        assert (exported / "sim" / row["filename"]).exists()
        assert row["filename"].startswith("samples/" if row["is_key_frame"] else "sweeps/")


def test_samples_come_at_two_hertz_and_a_gap_ends_a_scene(exported):
    tables = tables_of(exported / "real")
    scenes = list(tables["scene"].values())
    assert [scene["name"] for scene in scenes] == ["scene-round-000", "scene-round-001"]
    assert [scene["nbr_samples"] for scene in scenes] == [4, 2]
    stamps = [
        row["timestamp"]
        for row in tables["sample"].values()
        if row["scene_token"] == scenes[0]["token"]
    ]
    assert np.diff(stamps).tolist() == [500_000, 500_000, 500_000]
    front = [row for row in tables["sample_data"].values() if "/CAM_FRONT/" in row["filename"]]
    assert len(front) == 48
    assert sum(row["is_key_frame"] for row in front) == 6
    # a sweep belongs to the sample that follows
    start = min(row["timestamp"] for row in front)
    second = next(row for row in front if row["timestamp"] == start + 50_000)
    assert second["filename"].endswith(f"__{start + 50_000}.jpg")
    assert tables["sample"][second["sample_token"]]["timestamp"] == start + 500_000


def test_times_are_the_date_of_the_recording_plus_the_simulations_clock(drive, exported):
    created = datetime.fromisoformat(Recording(drive).meta.created)
    tables = tables_of(exported / "sim")
    first = min(row["timestamp"] for row in tables["sample"].values())
    assert first == round(created.timestamp() * 1e6) + 12_250_000
    (log,) = tables["log"].values()
    assert log["date_captured"] == created.date().isoformat()


def test_a_sensor_has_one_row_and_cameras_keep_their_exact_poses(drive, exported):
    tables = tables_of(exported / "sim")
    assert len(tables["calibrated_sensor"]) == len(tables["sensor"]) == 4
    poses = {
        (sample.frame.camera, sample.frame.frame_id): sample.frame.cam_to_world
        for camera in YAWS_DEG
        for sample in Recording(drive).samples(camera, streams=())
    }
    start = min(row["timestamp"] for row in tables["sample_data"].values())
    for row in tables["sample_data"].values():
        channel = row["filename"].split("/")[1]
        if channel != "LIDAR_TOP":
            sensor = tables["calibrated_sensor"][row["calibrated_sensor_token"]]
            whole = matrix(tables["ego_pose"][row["ego_pose_token"]]) @ matrix(sensor)
            camera = channel.removeprefix("CAM_").lower()
            number = 1000 + round((row["timestamp"] - start) / 50_000)
            assert whole == pytest.approx(poses[camera, number], abs=1e-6)


def matrix(row):
    w, x, y, z = row["rotation"]
    turned = np.eye(4)
    turned[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    turned[:3, 3] = row["translation"]
    return turned


def test_poses_that_shake_do_not_make_more_sensors(tmp_path):
    """Simulators give poses as float32, and of the tick beside."""
    random = np.random.default_rng(0)
    spec = ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=20)
    with Recorder(tmp_path / "shaky", spec) as recorder:
        for index in range(6):
            chunk = driven_chunk(index)
            shaken = chunk.ego_to_world.copy()
            shaken[:, :3, 3] += random.normal(0, 0.003, (4, 3))
            recorder.write(replace(chunk, ego_to_world=shaken))
    nuscenes.export(Selection(recordings=(tmp_path / "shaky",)), tmp_path / "out")
    assert len(tables_of(tmp_path / "out/sim")["calibrated_sensor"]) == 2


def test_points_of_a_box_are_its_own_and_of_all_cameras(exported):
    """The road below a car lies in its box too; what one camera does not list another may hit."""
    tables = tables_of(exported / "sim")
    scans = {
        row["timestamp"]: (row, exported / "sim" / row["filename"])
        for row in tables["sample_data"].values()
        if "LIDAR_TOP" in row["filename"]
    }
    checked = 0
    for row in tables["sample_annotation"].values():
        time = tables["sample"][row["sample_token"]]["timestamp"]
        scan, path = scans[time]
        sensor = tables["calibrated_sensor"][scan["calibrated_sensor_token"]]
        world = matrix(tables["ego_pose"][scan["ego_pose_token"]]) @ matrix(sensor)
        points = np.fromfile(path, np.float32).reshape(-1, 5)[:, :3] @ world[:3, :3].T
        points += world[:3, 3]
        box = matrix(row)
        width, length, height = row["size"]
        inside = (
            np.abs((points - box[:3, 3]) @ box[:3, :3])
            <= np.array([length, width, height]) / 2 + 0.021
        )
        above = points[:, 2] > 0.002  # the road is flat and at 0
        assert row["num_lidar_pts"] <= inside.all(axis=1).sum()
        wanted = int((inside.all(axis=1) & above).sum())
        assert row["num_lidar_pts"] == pytest.approx(wanted, rel=0.02, abs=2)
        checked += row["num_lidar_pts"] > 0
    assert checked > 10


def test_two_drives_that_begin_at_the_same_time_are_sorted_by_the_devkit(tmp_path):
    drives = tuple(record_drive(tmp_path / name, chunks=1) for name in ("monday", "tuesday", "w"))
    for folder in drives:
        meta = json.loads((folder / "meta.json").read_text())
        (folder / "meta.json").write_text(
            json.dumps({**meta, "created": "2026-03-01T10:00:00+00:00"})
        )
    nuscenes.export(Selection(recordings=drives), tmp_path / "out")
    tables = tables_of(tmp_path / "out/sim")
    recs = [
        (tables["sample"][row["first_sample_token"]]["timestamp"], row)
        for row in tables["scene"].values()
    ]
    assert len(sorted(recs)) == 3  # NuScenes.list_scenes
    for row in tables["sample_data"].values():
        assert (tmp_path / "out/sim" / row["filename"]).is_file()


def test_a_clock_that_falls_begins_a_scene_and_times_continue(tmp_path):
    folder = record_reloaded(tmp_path / "reloaded")
    nuscenes.export(Selection(recordings=(folder,)), tmp_path / "out")
    tables = tables_of(tmp_path / "out/sim")
    assert [row["name"] for row in tables["scene"].values()] == [
        "scene-reloaded-1-000", "scene-reloaded-2-000",
    ]  # fmt: skip
    for table in ("sample", "sample_data"):
        rows = tables[table]
        for row in rows.values():
            assert not row["next"] or rows[row["next"]]["timestamp"] > row["timestamp"]
    assert len({row["filename"] for row in tables["sample_data"].values()}) == 24 + 4


def test_the_rows_of_both_variants_are_the_same_and_the_pictures_differ(exported):
    for table in (*TABLES, "splits"):
        name = f"v1.0-realmaster/{table}.json"
        assert (exported / "sim" / name).read_bytes() == (exported / "real" / name).read_bytes()
    file = next((exported / "sim/samples/CAM_FRONT").iterdir()).relative_to(exported / "sim")
    sim, real = (cv2.imread(str(exported / kind / file)) for kind in ("sim", "real"))
    assert sim.shape == real.shape == (96, 160, 3)
    assert abs(sim.astype(int) - real).mean() > 5


def test_an_annotation_holds_the_full_size_the_turn_and_what_the_thing_does(exported):
    tables = tables_of(exported / "sim")
    names = {token: row["name"] for token, row in tables["attribute"].items()}
    kinds = {token: row["name"] for token, row in tables["category"].items()}
    found = {}
    for row in tables["sample_annotation"].values():
        instance = tables["instance"][row["instance_token"]]
        found[kinds[instance["category_token"]], tuple(row["size"])] = row
    car = found["vehicle.car", (2.0, 4.8, 1.5)]  # width, length, height
    assert names[car["attribute_tokens"][0]] == "vehicle.moving"
    parked = found["vehicle.car", (1.8, 4.0, 1.4)]
    assert names[parked["attribute_tokens"][0]] == "vehicle.parked"
    assert abs(parked["rotation"][3]) == pytest.approx(1)  # half a turn about z
    police = found["vehicle.emergency.police", (2.1, 5.0, 1.6)]
    assert names[police["attribute_tokens"][0]] == "vehicle.stopped"
    assert police["rotation"] == pytest.approx([2**-0.5, 0, 0, 2**-0.5])
    bicycle = found["vehicle.bicycle", (0.6, 1.7, 1.7)]
    assert names[bicycle["attribute_tokens"][0]] == "cycle.with_rider"
    pedestrian = found["human.pedestrian.adult", (0.6, 0.6, 1.8)]
    assert names[pedestrian["attribute_tokens"][0]] == "pedestrian.moving"
    assert not [kind for kind, _ in found if "light" in kind]  # nuScenes has none


def test_what_is_hidden_has_a_low_visibility(exported):
    tables = tables_of(exported / "sim")
    police = min(
        (row for row in tables["sample_annotation"].values() if row["size"] == [2.1, 5.0, 1.6]),
        key=lambda row: tables["sample"][row["sample_token"]]["timestamp"],
    )
    assert tables["visibility"][police["visibility_token"]]["level"] == "v0-40"
    assert police["num_lidar_pts"] > 0


def test_without_depth_there_are_no_points_and_none_are_claimed(tmp_path):
    drive = record_drive(tmp_path / "plain", labels=("instance", "semantic"), chunks=2)
    nuscenes.export(Selection(recordings=(drive,)), tmp_path / "out")
    tables = tables_of(tmp_path / "out/sim")
    assert [row["channel"] for row in tables["sensor"].values()] == ["CAM_FRONT"]
    counts = [row["num_lidar_pts"] for row in tables["sample_annotation"].values()]
    assert counts
    assert not any(counts)
    with pytest.raises(ConfigError, match="instance"):
        bare = record_drive(tmp_path / "bare", labels=("depth",), chunks=1)
        nuscenes.export(Selection(recordings=(bare,)), tmp_path / "other")


def test_things_that_the_rule_does_not_trust_are_left_out(tmp_path):
    drive = record_drive(tmp_path / "poor", chunks=2)
    selection = Selection(recordings=(drive,), rules=Rules(min_pixels=500))
    summary = nuscenes.export(selection, tmp_path / "out")
    rows = tables_of(tmp_path / "out/sim")["sample_annotation"].values()
    assert [row["size"] for row in rows] == [[1.8, 4.0, 1.4]]
    assert summary.total("ignored") == {"too few pixels": 4}


def test_splits_are_by_town_and_a_run_that_was_stopped_continues(tmp_path):
    drives = tuple(
        record_drive(tmp_path / town, town=town, chunks=2) for town in ("Town01", "Town02")
    )
    split = SplitRule(train=("Town01",), val=("Town02",))
    whole = Selection(recordings=drives, split=split)
    nuscenes.export(whole, tmp_path / "out")
    splits = json.loads((tmp_path / "out/sim/v1.0-realmaster/splits.json").read_text())
    assert splits == {
        "realmaster_train": ["scene-Town01-000"], "realmaster_val": ["scene-Town02-000"],
    }  # fmt: skip
    with pytest.raises(ConfigError, match="--resume"):
        nuscenes.export(whole, tmp_path / "out")
    before = tables_of(tmp_path / "out/sim")
    again = nuscenes.export(whole, tmp_path / "out", options=ExportOptions(resume=True))
    assert again.skipped == ("Town01", "Town02")
    assert tables_of(tmp_path / "out/sim") == before


def test_cameras_get_the_channel_of_where_they_look():
    named = channels({name: mount(name) for name in YAWS_DEG} | {"spare": mount("front")})
    assert named == {
        "front": "CAM_FRONT", "front_left": "CAM_FRONT_LEFT", "back": "CAM_BACK",
        "spare": "CAM_SPARE",
    }  # fmt: skip
    down = np.eye(4)
    down[:3, :3] = [[0, -1, 0], [-1, 0, 0], [0, 0, -1]]
    assert channels({"map": down}) == {"map": "CAM_MAP"}


def test_quaternions_turn_as_their_matrix_does():
    rng = np.random.default_rng(0)
    for _ in range(50):
        axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        axes *= np.sign(np.linalg.det(axes))
        w, x, y, z = to_quaternion(axes)
        point = rng.normal(size=3)
        vector = np.array([x, y, z])
        turned = point + 2 * np.cross(vector, np.cross(vector, point) + w * point)
        assert turned == pytest.approx(axes @ point)
    assert to_quaternion(np.diag([-1.0, -1.0, 1.0])) == pytest.approx((0, 0, 0, 1))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_devkit_opens_it_and_its_boxes_lie_on_the_masks(drive, exported, tmp_path_factory):
    python = devkit_python(tmp_path_factory)
    recording = Recording(drive)
    created = round(datetime.fromisoformat(recording.meta.created).timestamp() * 1e6)
    seen = [
        {
            "timestamp": created + round(sample.frame.timestamp * 1e6),
            "channel": {"front": "CAM_FRONT", "front_left": "CAM_FRONT_LEFT", "back": "CAM_BACK"}[
                camera
            ],
            "center": one.thing.object_to_world[:3, 3].tolist(),
            "box": one.visible,
            "whole": not one.occlusion and not one.truncation and one.class_id != BICYCLE,
        }
        for camera in recording.cameras
        for sample in recording.samples(camera, streams=())
        for one in sample.annotations
        if one.thing is not None and one.visible is not None
    ]
    for kind in ("sim", "real"):
        root = exported / kind
        (root / "v1.0-realmaster/seen.json").write_text(json.dumps(seen))
        done = subprocess.run(
            [python, CHECK, root], capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads(done.stdout)
        assert (found["scenes"], found["samples"], found["sweeps"]) == (2, 6, 3 * 42)
        assert found["annotations"] == 29
        assert found["channels"] == ["CAM_BACK", "CAM_FRONT", "CAM_FRONT_LEFT", "LIDAR_TOP"]
        assert found["splits"] == {"realmaster_train": ["scene-round-000", "scene-round-001"]}
        assert found["compared"] > 20
        assert found["worst_px"] < 1.0  # a mask's box never leaves its thing's
        assert found["loosest_px"] < 1.5  # and fills it where nothing hides it
        assert set(found["speeds"]["vehicle.truck"]) == {8.0}
        assert set(found["speeds"]["vehicle.car"]) == {10.0, 0.0}
        assert found["points"] > 10_000
