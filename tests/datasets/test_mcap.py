"""MCAP exports, read back by mcap and decoded by the schemas that they carry."""

import shutil
import subprocess
import sys

import av
import cv2
import numpy as np
import pytest
from driven_scene import intrinsics, record_drive, record_reloaded

from realmaster_live.datasets import Selection, SplitRule, mcap_log
from realmaster_live.errors import ConfigError
from realmaster_live.recording import Recording

reader = pytest.importorskip("mcap.reader")
pytest.importorskip("foxglove")
read = pytest.importorskip("mcap_content").read


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings") / "round"
    return record_drive(folder, cameras=("front", "back"), chunks=5, trust=0.8)


@pytest.fixture(scope="module")
def log(drive, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "mcap"
    split = SplitRule(shares=(0.0, 1.0))
    mcap_log.export(Selection(recordings=(drive,), variant="paired", split=split), out, depth=True)
    return read(out / "val/round.mcap")


def test_the_packets_of_the_recording_are_handed_on_and_play(drive, log):
    recording = Recording(drive)
    real = [sample.real for sample in recording.samples("front", streams=("real",))]
    codec = av.CodecContext.create("h264", "r")
    pictures = []
    for _, message in log["/front/real"]:
        assert message.format == "h264"
        assert message.data[:4] == b"\0\0\0\1"  # Annex B
        pictures += codec.decode(av.Packet(message.data))
    pictures += codec.decode(None)
    assert len(pictures) == len(real) == 20
    for picture, truth in zip(pictures, real, strict=True):
        rgb = picture.reformat(format="rgb24", src_colorspace="ITU709", src_color_range="MPEG")
        assert (rgb.to_ndarray() == truth).all()  # the very same packets


def test_every_packet_is_one_picture_and_key_frames_bring_their_parameters(log):
    for _, message in log["/front/sim"]:
        units = [unit[0] & 31 for unit in message.data.split(b"\0\0\1")[1:]]
        assert len({1, 5} & set(units)) == 1
        if 5 in units:  # an IDR picture
            assert 7 in units  # its sequence parameter set
            assert 8 in units
    assert 5 in [unit[0] & 31 for unit in log["/front/sim"][0][1].data.split(b"\0\0\1")[1:]]


def test_times_are_the_simulation_s_and_rise(drive, log):
    stamps = [sample.frame.timestamp for sample in Recording(drive).samples("front", streams=())]
    for topic in ("/front/real", "/front/boxes", "/front/calibration"):
        assert [time for time, _ in log[topic]] == [round(stamp * 1e9) for stamp in stamps]
        first = log[topic][0][1].timestamp
        assert first.seconds + first.nanos / 1e9 == pytest.approx(12.25)
    assert len(log["/tf"]) == 40  # of both cameras


def test_the_transforms_lead_from_the_camera_to_the_world(drive, log):
    sample = next(Recording(drive).samples("back", streams=()))
    (to_ego,) = [
        one
        for _, message in log["/tf"]
        for one in message.transforms
        if one.child_frame_id == "back"
    ][:1]
    (to_map,) = [one for one in log["/tf"][1][1].transforms if one.child_frame_id == "ego"]
    assert (to_map.parent_frame_id, to_ego.parent_frame_id) == ("map", "ego")
    point = np.array([0.5, -0.2, 7.0])
    for one in (to_ego, to_map):
        turn = one.rotation
        vector = np.array([turn.x, turn.y, turn.z])
        point = point + 2 * np.cross(vector, np.cross(vector, point) + turn.w * point)
        point += np.array([one.translation.x, one.translation.y, one.translation.z])
    pose = sample.frame.cam_to_world
    assert point == pytest.approx(pose[:3, :3] @ [0.5, -0.2, 7.0] + pose[:3, 3])


def test_boxes_depth_lens_and_trust_are_those_of_the_recording(drive, log):
    sample = next(Recording(drive).samples("front"))
    lens = log["/front/calibration"][0][1]
    assert list(lens.K) == pytest.approx(intrinsics().ravel().tolist())
    assert (lens.width, lens.height, lens.frame_id) == (160, 96, "front")
    things = {one.object_id: one for one in sample.frame.objects}
    entities = {int(one.id): one for one in log["/things"][0][1].entities}
    assert set(entities) == set(things)
    cube = entities[11].cubes[0]
    assert [cube.size.x, cube.size.y, cube.size.z] == [4.8, 2.0, 1.5]
    metadata = {pair.key: pair.value for pair in entities[16].metadata}
    assert (metadata["class"], metadata["light"]) == ("traffic_light", "red")
    drawn = log["/front/boxes"][0][1].points
    seen = [one for one in sample.annotations if one.visible is not None]
    assert len(drawn) == len(seen) == 7
    for points, one in zip(drawn, seen, strict=True):
        corners = [(point.x, point.y) for point in points.points]
        assert (corners[0], corners[2]) == (one.visible[:2], one.visible[2:])
    image = log["/front/depth"][0][1]
    depth = np.frombuffer(image.data, "<u2").reshape(image.height, image.width)
    near = sample.frame.labels["depth"] < 65
    assert depth[near] / 1000 == pytest.approx(sample.frame.labels["depth"][near], abs=6e-4)
    assert log["/front/trust"][0][1]["score"] == pytest.approx(0.8)
    assert log["/front/trust"][0][1]["lights"] is None


def test_depth_that_was_not_recorded_is_refused(tmp_path):
    bare = record_drive(tmp_path / "bare", labels=("instance",), chunks=1)
    with pytest.raises(ConfigError, match=r"to mcap with depth, got no depth: .*--labels depth"):
        mcap_log.export(Selection(recordings=(bare,)), tmp_path / "out", depth=True)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_handed_on_is_encoded_anew(drive, tmp_path):
    lossless = record_drive(tmp_path / "exact", lossless=True, container="mkv", chunks=2)
    mcap_log.export(Selection(recordings=(lossless,)), tmp_path / "out")
    found = read(tmp_path / "out/train/exact.mcap")
    assert "/front/trust" not in found
    assert [message.format for _, message in found["/front/sim"]] == ["jpeg"] * 8
    mcap_log.export(Selection(recordings=(drive,), every=4), tmp_path / "thin")
    thin = read(tmp_path / "thin/train/round.mcap")
    assert "/front/depth" not in thin
    for number, sample in enumerate(Recording(drive).samples("front", every=4)):
        data = np.frombuffer(thin["/front/sim"][number][1].data, np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
        assert abs(picture.astype(int) - sample.frame.image).mean() < 4


def test_a_segment_whose_video_was_changed_is_named_and_the_others_are_written(tmp_path):
    whole = record_drive(tmp_path / "whole", chunks=4, segment_s=0.35)
    folder = shutil.copytree(whole, tmp_path / "changed")
    segments = sorted((folder / "segments").iterdir())
    assert len(segments) == 2
    video = segments[0] / "front/sim.mp4"
    data = bytearray(video.read_bytes())
    data[len(data) // 2] ^= 255
    video.write_bytes(data)
    summary = mcap_log.export(Selection(recordings=(folder,)), tmp_path / "out")
    assert list(summary.drives["changed"].damaged) == ["000000"]
    assert any("segment 000000 of changed" in line for line in summary.lines())
    found = read(tmp_path / "out/train/changed.mcap")
    assert len(found["/front/sim"]) == 8
    assert found["/front/sim"][0][0] == round((12.25 + 8 / 20) * 1e9)


def test_times_rise_where_the_world_was_loaded_anew(tmp_path):
    folder = record_reloaded(tmp_path / "reloaded", cameras=("front", "back"))
    mcap_log.export(Selection(recordings=(folder,)), tmp_path / "out")
    for name in ("reloaded-1", "reloaded-2"):
        with (tmp_path / f"out/train/{name}.mcap").open("rb") as file:
            messages = reader.make_reader(file).iter_messages(topics=["/tf"], log_time_order=False)
            times = [message.log_time for _, _, message in messages]
        assert len(times) == 2 * 12
        assert times == sorted(times) and len(set(times)) == 12
        assert (np.diff(sorted(set(times))) == 50_000_000).all()


def test_rerun_reads_it(drive, tmp_path):
    pytest.importorskip("rerun")
    out = tmp_path / "drive.rrd"
    mcap_log.export(Selection(recordings=(drive,), variant="paired"), tmp_path / "out")
    (log,) = (tmp_path / "out").rglob("*.mcap")
    rerun = [sys.executable, "-m", "rerun"]
    done = subprocess.run([*rerun, "mcap", "convert", log, "-o", out], capture_output=True)
    assert done.returncode == 0, done.stderr
    shown = subprocess.run([*rerun, "rrd", "print", "-vv", out], capture_output=True, text=True)
    for name in ("/front/sim", "/front/real", "/front/boxes", "Pinhole", "VideoStream:sample"):
        assert name in shown.stdout
