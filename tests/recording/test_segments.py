"""Segments, several cameras, things and trust."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from recorded_drive import CAMERAS, SPEC, chunks_of, record
from street import make_chunk

from realmaster_live import SourceInfo
from realmaster_live.cli import main
from realmaster_live.errors import ConfigError
from realmaster_live.frames.objects import SceneObject
from realmaster_live.frames.source_info import CameraInfo
from realmaster_live.frames.trust import FrameTrust, InstanceTrust
from realmaster_live.recording import About, Recorder, Recording

CAR = SceneObject(
    object_id=31,
    class_id=14,
    type_id="vehicle.tesla.model3",
    size=np.array([4.6, 2.0, 2.6]),
    object_to_world=np.array([[1.0, 0, 0, -9.0], [0, 0, -1, 2.0], [0, 1, 0, 13.6], [0, 0, 0, 1]]),
    velocity=np.array([3.0, 0, 4.0]),
    mask_id=4711,
)
JUDGED = FrameTrust(
    edges=0.9,
    depth_order=float("nan"),
    semantics=0.8,
    boxes=0.7,
    lights=1.0,
    score=0.7,
    verdict="blended",
    attempts=2,
    instances=(
        InstanceTrust(
            mask_id=4711, pixels=220, edges=0.5, semantics=1.0, light=float("nan"), score=0.5
        ),
    ),
)


def test_segments_rotate_by_the_simulation_clock_and_hold_whole_moments(rig):
    names = sorted(path.name for path in (rig / "segments").iterdir())
    assert names == ["000000", "000001", "000002"]
    assert Recording(rig).meta.segments == tuple(names)
    for name, count in zip(names, (20, 20, 8), strict=True):
        rows = pyarrow.parquet.read_table(rig / "segments" / name / "frames.parquet").to_pylist()
        for camera in CAMERAS:
            mine = [row for row in rows if row["camera"] == camera]
            assert [row["picture"] for row in mine] == list(range(count))
            assert mine[0]["frame_id"] == 1000 + 20 * int(name)
        assert len({row["chunk_index"] for row in rows}) * 4 == count


def test_segments_rotate_by_size(tmp_path):
    with Recorder(tmp_path / "drive", SPEC, segment_bytes=1) as drive:
        for index in range(3):
            for chunk in chunks_of(index):
                drive.write(chunk)
    recording = Recording(tmp_path / "drive")
    assert len(recording.meta.segments) == 3
    assert len(list(recording.frames())) == 24
    with pytest.raises(ConfigError, match="more than 0"):
        Recorder(tmp_path / "other", SPEC, segment_s=0)


def test_many_segments_play_like_one(three_segments, tmp_path):
    many = Recording(three_segments)
    with Recorder(tmp_path / "one", SPEC) as drive:
        for index in range(12):
            for chunk in chunks_of(index):
                drive.write(chunk)
    one = Recording(tmp_path / "one")
    assert len(one.meta.segments) == 1
    for first, second in zip(many.frames(), one.frames(), strict=True):
        assert (first.camera, first.frame_id) == (second.camera, second.frame_id)
        np.testing.assert_array_equal(first.labels["instance"], second.labels["instance"])
        assert abs(first.image.astype(int) - second.image).mean() < 1.5  # other key frames


def test_frames_come_moment_by_moment(rig):
    frames = list(Recording(rig).frames())
    assert [(frame.camera, frame.frame_id) for frame in frames] == [
        (camera, 1000 + number) for number in range(48) for camera in CAMERAS
    ]
    assert frames[1].image.shape == (48, 64, 3)
    assert frames[1].labels["depth"].shape == (48, 64)
    rear = Recording(rig, cameras=["rear"])
    assert rear.cameras == ("rear",)
    assert len(rear) == 48
    assert {frame.camera for frame in rear.frames()} == {"rear"}
    with pytest.raises(ConfigError, match="expected cameras among front, rear"):
        Recording(rig, cameras=["left"])


def test_samples_decode_only_what_is_asked_for(rig):
    recording = Recording(rig)
    whole = list(recording.samples("front"))
    assert len(whole) == 48
    assert [sample.chunk_start for sample in whole[:9]] == [True, *[False] * 3] * 2 + [True]
    assert [sample.chunk_index for sample in whole[:5]] == [0, 0, 0, 0, 1]
    sparse = list(recording.samples("front", streams=["real", "instance"], every=7))
    assert [sample.frame.frame_id for sample in sparse] == list(range(1000, 1048, 7))
    for sample in sparse:
        same = whole[sample.frame.frame_id - 1000]
        assert sample.frame.image.shape == (0, 0, 3)
        assert set(sample.frame.labels) == {"instance"}
        np.testing.assert_array_equal(sample.real, same.real)
        np.testing.assert_array_equal(
            sample.frame.labels["instance"], same.frame.labels["instance"]
        )
    bare = next(recording.samples("front", streams=[]))
    assert bare.real is None
    assert len(bare.annotations) == 1
    with pytest.raises(ConfigError, match="expected streams among sim, real, depth"):
        recording.samples("front", streams=["normals"])
    with pytest.raises(ConfigError, match="every"):
        recording.samples("front", every=0)


def test_any_places_of_a_stream_can_be_read(rig):
    recording = Recording(rig)
    whole = [sample.frame.image for sample in recording.samples("rear", streams=["sim"])]
    for wanted in (range(48), range(7, 41, 3), range(25, 29), range(1, 48, 19), range(40, 60)):
        found = list(recording.pictures("rear", "sim", wanted))
        expected = [whole[place] for place in wanted if place < 48]
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_losses_stay_where_they_were(tmp_path):
    with Recorder(tmp_path / "drive", SPEC, segment_s=0.4) as drive:
        for index, dropped in enumerate((0, 0, 5, 0, 3, 0, 2)):
            drive.write(dataclasses.replace(make_chunk(index), dropped_before=dropped))
    recording = Recording(tmp_path / "drive")
    expected = {8: 5, 16: 3, 24: 2}
    assert {
        place: frame.dropped_before
        for place, frame in enumerate(recording.frames())
        if frame.dropped_before
    } == expected
    sums = [sample.frame.dropped_before for sample in recording.samples("front", every=10)]
    assert sums == [0, 5, 3]
    assert recording.meta.lost_frames == 10


def test_things_optics_and_trust_come_back(tmp_path):
    ego = np.tile(np.eye(4), (4, 1, 1))
    ego[:, :3, 3] = [1.0, -2.0, 0.5]
    chunk = dataclasses.replace(
        make_chunk(0),
        objects=((CAR,),) * 4,
        trust=(JUDGED, *[dataclasses.replace(JUDGED, instances=())] * 3),
        ego_to_world=ego,
        distortion=np.array([0.1, -0.02, 0.0, 0.001, 0.0]),
        seed=12345,
        prompt="rain",
        prompt_weight=0.5,
    )
    about = About(
        licence="CC-BY-4.0",
        engine="x",
        source=SourceInfo(cameras={"front": CameraInfo(width=96, height=64, mount={"x": 1.5})}),
    )
    with Recorder(tmp_path / "drive", SPEC, about=about) as drive:
        drive.write(chunk)
    recording = Recording(tmp_path / "drive")
    sample = next(recording.samples("front"))
    (mark,) = sample.annotations
    for field in dataclasses.fields(SceneObject):
        np.testing.assert_array_equal(getattr(mark.thing, field.name), getattr(CAR, field.name))
    assert mark.mask_id == 4711
    assert mark.pixels == np.count_nonzero(chunk.labels["instance"][0])
    assert mark.visible == (0.0, 35.0, 20.0, 46.0)
    assert sample.frame.objects == (mark.thing,)
    assert repr(sample.trust) == repr(JUDGED)  # NaN is NaN
    assert (sample.seed, sample.prompt) == (12345, "rain")
    np.testing.assert_array_equal(sample.frame.ego_to_world, ego[0])
    np.testing.assert_array_equal(sample.frame.distortion, chunk.distortion)
    row = recording.table("objects").to_pylist()[0]
    assert row["class"] == "car"
    assert row["speed"] == pytest.approx(5.0)
    moved = np.array(row["object_to_camera"]).reshape(4, 4)
    np.testing.assert_allclose(moved, np.linalg.inv(chunk.cam_to_world[0]) @ CAR.object_to_world)
    row = recording.table("frames").to_pylist()[0]
    assert row["licence"] == "CC-BY-4.0"
    assert row["prompt_weight"] == 0.5
    assert 0 <= row["age_s"] < 60
    front = recording.calibration["front"]
    assert front["mount"] == {"x": 1.5}
    assert front["fov_deg"] == pytest.approx(80.0, abs=0.01)
    np.testing.assert_allclose(front["cam_to_ego"], np.linalg.inv(ego[0]) @ chunk.cam_to_world[0])


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_lossless_pictures_come_back_bit_by_bit(container, tmp_path):
    rng = np.random.default_rng(5)
    with Recorder(tmp_path / "drive", SPEC, lossless=True, container=container) as drive:
        chunks = []
        for index in range(3):
            noise = rng.integers(0, 256, (4, 63, 95, 3), np.uint8)  # odd sides, too
            chunk = make_chunk(index, size=(95, 63))
            chunks.append(dataclasses.replace(chunk, rendered=noise))
            drive.write(chunks[-1])
    recording = Recording(tmp_path / "drive")
    for place, (rendered, realized) in enumerate(recording.pairs()):
        np.testing.assert_array_equal(rendered, chunks[place // 4].rendered[place % 4])
        np.testing.assert_array_equal(realized, chunks[place // 4].frames[place % 4])
    assert list(recording.folder.rglob(f"sim.{container}"))


def test_the_documented_snippets_run(tmp_path, monkeypatch):
    record(tmp_path / "drive", sensors=True)
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[2] / "docs" / "recording.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for snippet in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(snippet.replace("(120)", "(12)"), "recording.md", "exec"), names)
    np.testing.assert_array_equal(names["classes"], make_chunk(3).labels["semantic"][0])
    assert names["objects"].num_rows == 96
    assert names["sample"].frame.frame_id == 1045
    assert names["last"].frame_id == 1047 and len(names["some"]) == 0


def test_info_states_what_was_recorded(rig, capsys):
    assert main(["dataset", "info", str(rig)]) == 0
    output = capsys.readouterr().out
    assert "front       96x64, 48 frames, 2.4 s, 0 lost; sim, real, depth" in output
    assert "96 car" in output


def test_about_takes_town_and_weather_from_the_source():
    about = About(
        source=SourceInfo.of({"map": "Carla/Maps/Town05", "weather": {"precipitation": 60.0}})
    )
    assert (about.town, about.weather) == ("Town05", "rain")
    assert (
        About(source=SourceInfo.of({"map": "Town01"}), town="mine", weather="dusk").town == "mine"
    )
