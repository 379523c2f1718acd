"""What recordings of sensors add to the formats that have a place for it, by its own truth."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from devkit_python import devkit_python
from driven_scene import FPS, SIZE, driven_chunk
from sensor_states import state_at, with_states

from realmaster_live import ChunkSpec
from realmaster_live.cli import main
from realmaster_live.datasets import Selection, SplitRule, kitti, kitti_tracking, lerobot, nuscenes
from realmaster_live.frames.source_info import SensorInfo, SourceInfo
from realmaster_live.recording import About, Recorder, Recording

CHECK = Path(__file__).parent.parent / "parts/check_ego_of_nuscenes.py"
TRAIN = SplitRule(shares=(1.0, 0.0))
LIDAR_TO_EGO = np.array(
    [[0.0, -1.0, 0.0, 0.5], [1.0, 0.0, 0.0, -0.2], [0.0, 0.0, 1.0, 1.9], [0.0, 0.0, 0.0, 1.0]]
)  # turned to the left by 90 degrees
SENSORS = {
    "imu": SensorInfo(kind="imu", sensor_to_ego=tuple(map(tuple, np.eye(4).tolist()))),
    "lidar": SensorInfo(kind="lidar", sensor_to_ego=tuple(map(tuple, LIDAR_TO_EGO.tolist()))),
}


def mounted(chunk):
    """A chunk with states whose lidar sits on the vehicle, and sees a point of a thing's box."""
    chunk = with_states(chunk)
    source = SourceInfo(simulator="carla", town="Town01", sensors=SENSORS)
    egos = []
    for row, state in enumerate(chunk.egos):
        pose = chunk.ego_to_world[row] @ LIDAR_TO_EGO
        thing = chunk.objects[row][0].object_to_world[:3, 3]
        sweeps = {}
        for name, sweep in state.sweeps.items():
            points = sweep.points.copy()
            points[:5] = (thing - pose[:3, 3]) @ pose[:3, :3]
            sweeps[name] = replace(sweep, sensor_to_world=pose, points=points)
        egos.append(replace(state, sweeps=sweeps))
    return replace(chunk, egos=tuple(egos), sources=(source,) * len(chunk))


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings") / "felt"
    spec = ChunkSpec(frames=4, height=SIZE[1], width=SIZE[0], fps=FPS)
    about = About(town="Town01", source=SourceInfo(simulator="carla", sensors=SENSORS))
    with Recorder(folder, spec, about=about) as recorder:
        for index in range(6):
            for camera in ("front", "back"):
                recorder.write(mounted(driven_chunk(index, camera)))
    return folder


@pytest.fixture(scope="module")
def frames(drive):
    """The recorded frames of the first camera."""
    return [sample.frame for sample in Recording(drive).samples("front", streams=("sim",))]


@pytest.fixture(scope="module")
def tables(drive, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "nuscenes"
    nuscenes.export(Selection(recordings=(drive,), split=TRAIN), out)
    root = out / "sim"
    found = {p.stem: json.loads(p.read_text()) for p in root.glob("v1.0-realmaster/*.json")}
    return root, found


def test_nuscenes_has_every_sweep_where_the_lidar_sits(tables, frames):
    root, found = tables
    by_token = {row["token"]: row for name in ("calibrated_sensor", "ego_pose", "sample")
                for row in found[name]}  # fmt: skip
    scans = [row for row in found["sample_data"] if "LIDAR_TOP" in row["filename"]]
    recorded = [frame for frame in frames if "lidar" in frame.ego.sweeps]
    assert len(scans) == len(recorded) < len(frames)
    assert [row["is_key_frame"] for row in scans].count(True) == len(found["sample"])
    assert {row["filename"].split("/")[0] for row in scans} == {"samples", "sweeps"}
    (calibration,) = {row["calibrated_sensor_token"] for row in scans}
    place = by_token[calibration]
    assert place["translation"] == pytest.approx(LIDAR_TO_EGO[:3, 3])
    for row, frame in zip(sorted(scans, key=lambda one: one["timestamp"]), recorded, strict=True):
        content = np.fromfile(root / row["filename"], np.float32).reshape(-1, 5)
        sweep = frame.ego.sweeps["lidar"]
        pose = by_token[row["ego_pose_token"]]
        world = _turn(pose["rotation"], _turn(place["rotation"], content[:, :3].astype(float))
                      + place["translation"]) + pose["translation"]  # fmt: skip
        truth = sweep.points @ sweep.sensor_to_world[:3, :3].T + sweep.sensor_to_world[:3, 3]
        assert np.allclose(world, truth, atol=1e-3)
        assert np.allclose(content[:, 3] / 255, sweep.values["intensity"], atol=1e-6)
        assert np.array_equal(content[:, 4], sweep.values["ring"])
    assert max(row["num_lidar_pts"] for row in found["sample_annotation"]) >= 5


def _turn(quaternion, points):
    w, *axis = quaternion
    return points + 2.0 * np.cross(axis, np.cross(axis, points) + w * points)


def test_nuscenes_has_a_can_bus_under_names_that_its_devkit_takes(tables, frames):
    root, found = tables
    (scene,) = (row["name"] for row in found["scene"])
    assert scene == "scene-2000"
    files = {p.name: json.loads(p.read_text()) for p in (root / "can_bus").iterdir()}
    pose = files[f"{scene}_pose.json"]
    kept = [frame for frame in frames if frame.ego.frame_id >= frames[0].frame_id]
    assert len(pose) == len(kept)
    front = sorted({row["timestamp"] for row in found["sample_data"] if "FRONT" in row["filename"]})
    assert [one["utime"] for one in pose] == front
    for one, frame in zip(pose, kept, strict=True):
        assert one["pos"] == pytest.approx(frame.ego_to_world[:3, 3], abs=1e-6)
        turn = frame.ego_to_world[:3, :3]
        assert turn @ one["vel"] == pytest.approx(frame.ego.velocity)
        assert turn @ one["accel"] == pytest.approx(np.add(frame.ego.acceleration, (0, 0, 9.81)))
    monitor = files[f"{scene}_vehicle_monitor.json"]
    told = [frame.ego for frame in kept if frame.ego.control is not None]
    assert len(monitor) == len(told) < len(kept)
    assert monitor[0]["vehicle_speed"] == pytest.approx(told[0].speed * 3.6)
    assert monitor[0]["throttle"] == round(told[0].control.throttle * 1000)
    assert files[f"{scene}_control.json"][0]["steer"] == told[0].control.steer
    assert files[f"{scene}_meta.json"]["ms_imu"]["message_count"] == len(kept)


def test_an_export_can_demand_sensors_and_says_how_to_record_them(drive, tmp_path, capsys):
    command = ["dataset", "export", str(drive), "--split", "1,0", "--variant", "sim", "--to"]
    refused = [*command, "kitti", "--out", str(tmp_path / "no"), "--needs", "lidar,semantic_lidar"]
    assert main(refused) != 0
    assert (
        "expected readings of semantic_lidar in felt for an export to kitti, got control, imu, "
        in (said := capsys.readouterr().err)
    )
    assert "record again with --sensors semantic_lidar; or leave it out of --needs" in said
    assert main([*refused[:-1], "gps"]) != 0
    assert "name a kind in place of gps (imu, gnss, " in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
    assert main([*command, "lerobot", "--out", str(tmp_path / "l"), "--needs", "control"]) == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_devkit_reads_the_can_bus_and_joins_the_sweeps(tables, frames, tmp_path_factory):
    root, _ = tables
    command = [devkit_python(tmp_path_factory), CHECK, root]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    told = sum(frame.ego.control is not None for frame in frames)
    assert found["messages"] == {
        "pose": len(frames), "ms_imu": len(frames), "vehicle_monitor": told,
    }  # fmt: skip
    assert found["sweeps"] == 4 and found["points"] > 3 * found["of_one"]


def test_kitti_has_velodyne_oxts_and_where_they_sit(drive, frames, tmp_path):
    kitti.export(Selection(recordings=(drive,), cameras=("front",), split=TRAIN), tmp_path / "k")
    training = tmp_path / "k/training"
    for number, frame in enumerate(frames):
        name, sweep = f"{number:06d}", frame.ego.sweeps.get("lidar")
        path = training / f"velodyne/{name}.bin"
        assert path.exists() == (sweep is not None)
        values = [float(text) for text in (training / f"oxts/{name}.txt").read_text().split()]
        assert len(values) == 30
        assert values[:3] == pytest.approx([frame.ego.gnss.latitude, 8.0, 1.5])
        yaw = np.arctan2(frame.ego_to_world[1, 0], frame.ego_to_world[0, 0])
        assert values[5] == pytest.approx(yaw)
        assert values[6:8] == pytest.approx([frame.ego.velocity[1], frame.ego.velocity[0]])
        along = frame.ego_to_world[:3, :3].T @ frame.ego.velocity
        assert values[8:11] == pytest.approx(along, abs=1e-6)  # the road is level
        assert values[11:14] == pytest.approx(frame.ego.imu.acceleration)
        assert values[17:20] == pytest.approx(frame.ego.imu.angular_velocity)
        if sweep is None:
            continue
        points = np.fromfile(path, np.float32).reshape(-1, 4)
        assert np.array_equal(points[:, :3], sweep.points)
        assert np.array_equal(points[:, 3], sweep.values["intensity"])
        rows = dict(
            line.split(": ") for line in (training / f"calib/{name}.txt").read_text().splitlines()
        )
        to_camera = np.array(rows["Tr_velo_to_cam"].split(), float).reshape(3, 4)
        seen = points[:, :3] @ to_camera[:, :3].T + to_camera[:, 3]
        world = seen @ frame.cam_to_world[:3, :3].T + frame.cam_to_world[:3, 3]
        truth = sweep.points @ sweep.sensor_to_world[:3, :3].T + sweep.sensor_to_world[:3, 3]
        assert np.allclose(world, truth, atol=1e-4)
        to_velodyne = np.array(rows["Tr_imu_to_velo"].split(), float).reshape(3, 4)
        assert np.allclose(to_velodyne, np.linalg.inv(LIDAR_TO_EGO)[:3], atol=1e-6)


def test_kitti_tracking_has_a_line_of_oxts_a_frame(drive, frames, tmp_path):
    out = tmp_path / "t"
    kitti_tracking.export(Selection(recordings=(drive,), cameras=("front",), split=TRAIN), out)
    lines = (out / "training/oxts/0000.txt").read_text().splitlines()
    assert len(lines) == len(frames) and {len(line.split()) for line in lines} == {30}
    there = {int(path.stem) for path in (out / "training/velodyne/0000").iterdir()}
    assert there == {n for n, frame in enumerate(frames) if "lidar" in frame.ego.sweeps}


def test_lerobots_actions_are_the_controls_and_a_missing_one_ends_it(drive, frames, tmp_path):
    lerobot.export(Selection(recordings=(drive,), split=TRAIN), tmp_path / "l")
    info = json.loads((tmp_path / "l/meta/info.json").read_text())
    assert info["features"]["action"]["names"] == [
        "throttle", "steer", "brake", "hand_brake", "reverse",
    ]  # fmt: skip
    known = {frame.frame_id: frame for frame in frames if frame.ego.control is not None}
    assert info["total_frames"] == len(known) < len(frames)
    rows = [
        row
        for path in sorted((tmp_path / "l/data").rglob("*.parquet"))
        for row in pyarrow.parquet.read_table(path).to_pylist()
    ]
    assert [row["simulator.frame_id"] for row in rows] == sorted(known)
    for row in rows:
        frame = known[row["simulator.frame_id"]]
        told = frame.ego.control
        switches = float(told.hand_brake), float(told.reverse)
        assert row["action"] == pytest.approx([told.throttle, told.steer, told.brake, *switches])
        felt = frame.ego_to_world[:3, :3].T @ frame.ego.acceleration
        assert row["observation.state"][5:] == pytest.approx(felt, abs=1e-5)
    readme = (tmp_path / "l/README.md").read_text()
    assert "controls missing" in readme


def test_recordings_without_controls_keep_their_motion_as_action(tmp_path):
    folder = tmp_path / "plain"
    spec = ChunkSpec(frames=4, height=SIZE[1], width=SIZE[0], fps=FPS)
    with Recorder(folder, spec, about=About(town="Town01")) as recorder:
        for index in range(2):
            recorder.write(driven_chunk(index, "front"))
    lerobot.export(Selection(recordings=(folder,), split=TRAIN), tmp_path / "l")
    info = json.loads((tmp_path / "l/meta/info.json").read_text())
    assert info["features"]["action"]["names"] == ["forward_m", "left_m", "yaw_rad"]


def test_mcap_and_the_live_sink_have_the_same_topics(drive, frames, tmp_path):
    pytest.importorskip("foxglove")
    read = pytest.importorskip("mcap_content").read
    from sink_drive import run_info

    from realmaster_live.datasets import mcap_log
    from realmaster_live.sinks.mcap_file import McapFile

    mcap_log.export(Selection(recordings=(drive,), split=TRAIN), tmp_path / "m")
    log = read(tmp_path / "m/train/felt.mcap")
    sink = McapFile(tmp_path / "live.mcap")
    sink.open()
    sink.begin(run_info("front"))
    for index in range(6):
        sink.write(mounted(driven_chunk(index, "front")))
    sink.close()
    live = read(tmp_path / "live.mcap")
    for found in (log, live):
        assert len(found["/ego/imu"]) == len(found["/ego/state"]) == len(frames)
        clouds = {stamp: message for stamp, message in found["/lidar"]}
        for frame, (stamp, fix) in zip(frames, found["/ego/location"], strict=True):
            assert fix.latitude == frame.ego.gnss.latitude
            cloud, sweep = clouds.get(stamp), frame.ego.sweeps.get("lidar")
            assert (cloud is None) == (sweep is None)
            if sweep is not None:
                kinds = [(f.name, f.offset, f.type) for f in cloud.fields]
                assert kinds == [("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("intensity", 12, 7),
                                 ("ring", 16, 3)]  # fmt: skip
                layout = np.dtype([("p", "<f4", 3), ("i", "<f4"), ("ring", "<u2")])
                points = np.frombuffer(cloud.data, layout)
                assert cloud.point_stride == layout.itemsize
                assert np.array_equal(points["p"], sweep.points)
                assert np.array_equal(points["ring"], sweep.values["ring"])
        state = found["/ego/state"][1][1]
        told = frames[1].ego
        assert state["throttle"] == told.control.throttle and state["frame_id"] == told.frame_id
        places = [t for _, m in found["/tf"] for t in m.transforms if t.child_frame_id == "lidar"]
        assert len(places) == len(clouds) and places[0].parent_frame_id == "map"
        hits = [frame.frame_id for frame in frames if state_at(frame.frame_id).collisions]
        assert [m["frame_id"] for _, m in found["/ego/events"] if m["kind"] == "collision"] == hits
