"""A recording during which another town is loaded and the weather changes: each has its facts."""

import dataclasses
import hashlib
import json

import numpy as np
import pyarrow.parquet as parquet
import pytest
from street import make_chunk

from realmaster_live import Chunk, ChunkSpec, Frame, Recorder, Recording, SourceInfo
from realmaster_live.datasets import Selection, SplitRule
from realmaster_live.datasets.selection import open_drives
from realmaster_live.frames.run_info import EngineInfo, RunInfo
from realmaster_live.frames.source_info import CameraInfo
from realmaster_live.recording import About, repair, verify

SPEC = ChunkSpec(frames=4, height=64, width=96, fps=20)
CAMERA = CameraInfo(width=96, height=64, fov_deg=80.0, lens={"lens_k": -1.0}, mount={"x": 1.5})
TOWN = SourceInfo(
    simulator="carla",
    map="Carla/Maps/Town01",
    weather={"cloudiness": 10.0},
    cameras={"front": CAMERA},
)
RAIN = dataclasses.replace(TOWN, weather={"precipitation": 80.0})
OTHER = SourceInfo(simulator="carla", map="Carla/Maps/Town02_Opt", weather={}, cameras={})
# source of each chunk, and the second its clock has begun at
PARTS = [(TOWN, 0.0), (TOWN, 0.0), (RAIN, 0.0), (OTHER, -0.6), (OTHER, -0.6)]


def write_worlds(folder, cameras=("front",), close=True):
    recorder = Recorder(folder, SPEC)
    for index, (source, shift_s) in enumerate(PARTS):
        for camera in cameras:
            chunk = make_chunk(index)
            recorder.write(
                dataclasses.replace(
                    chunk,
                    camera=camera,
                    timestamps=chunk.timestamps + shift_s,
                    sources=(source,) * len(chunk),
                )
            )
    if close:
        recorder.close()
    return recorder


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds") / "drive"
    write_worlds(folder, ("front", "left"))
    return folder


def test_segments_begin_where_town_or_weather_or_time_change(worlds):
    infos = [
        json.loads(path.read_text()) for path in sorted(worlds.glob("segments/*/segment.json"))
    ]
    assert [info["cameras"]["left"]["town"] for info in infos] == ["Town01", "Town01", "Town02"]
    assert [info["cameras"]["left"]["weather"] for info in infos] == ["clear", "rain", ""]
    assert [info["source"]["map"] for info in infos] == [TOWN.map, TOWN.map, OTHER.map]
    assert [info["source"]["weather"] for info in infos] == [
        TOWN.weather, RAIN.weather, OTHER.weather,
    ]  # fmt: skip
    assert verify(worlds).is_whole


def test_the_frames_table_holds_the_weather_and_town_of_each_frame(worlds):
    table = Recording(worlds).table("frames", "front")
    assert table["weather"].to_pylist() == ["clear"] * 8 + ["rain"] * 4 + [""] * 8
    assert table["town"].to_pylist() == ["Town01"] * 12 + ["Town02"] * 8


def test_it_plays_in_the_order_in_which_it_was_recorded(worlds):
    frames = list(Recording(worlds))
    assert len(frames) == len(Recording(worlds)) == 40
    assert [frame.camera for frame in frames] == ["front", "left"] * 20
    assert [frame.frame_id for frame in frames[::2]] == list(range(1000, 1020))
    towns = [frame.source.town for frame in frames[::2]]
    assert towns == ["Town01"] * 12 + ["Town02"] * 8
    assert frames[0].source == TOWN
    assert frames[0].source is frames[2].source  # one object while nothing changes


def test_scenes_end_where_time_falls_and_the_town_changes(worlds):
    first, second = Recording(worlds).scenes()
    assert [one.meta.about.town for one in (first, second)] == ["Town01", "Town02"]
    assert (len(first), len(second)) == (24, 16)
    for scene in (first, second):
        stamps = [sample.frame.timestamp for sample in scene.samples("front")]
        assert np.all(np.diff(stamps) > 0)
    assert second.info.map == OTHER.map
    assert [len(one) for one in Recording(worlds).scenes(by_weather=True)] == [16, 8, 16]
    assert len(first.scenes()) == 1


def test_an_export_takes_each_town_as_a_drive_of_its_own(worlds):
    rule = SplitRule(train=("Town01",), val=("Town02",))
    drives = open_drives(Selection(recordings=(worlds,), split=rule), "coco")
    assert [(drive.name, drive.split) for drive in drives] == [
        ("drive-1", "train"),
        ("drive-2", "val"),
    ]
    assert len({drive.fingerprint for drive in drives}) == 2
    assert drives[0].recording.segment_folders() == sorted(worlds.glob("segments/*"))[:2]


def test_a_killed_recording_keeps_the_facts_of_its_parts(tmp_path):
    recorder = write_worlds(tmp_path / "drive", close=False)
    recorder._await_finished()
    recorder._segment.close_files()  # as far as a killed process would have come
    recorder._lock.release()
    towns = [one.meta.about.town for one in Recording(tmp_path / "drive").scenes()]
    assert towns == ["Town01", "Town02"]
    repair(tmp_path / "drive")
    assert Recording(tmp_path / "drive").meta.towns == ("Town01", "Town02")
    again = Recording(tmp_path / "drive").scenes()
    assert [one.info.town for one in again] == ["Town01", "Town02"]
    assert again[1].info.map != TOWN.map
    assert [(one.meta.about.town, len(one)) for one in again] == [("Town01", 12), ("Town02", 8)]
    recorder._pool.shutdown()
    recorder._finisher.shutdown()


def test_a_recorder_takes_all_from_the_run_and_what_happened_by_the_end(tmp_path):
    class Game:
        info = SourceInfo(simulator="gtav", map="GTA-V", counts={"received": 0})

    game = Game()
    engine = EngineInfo(name="identity", sha256="ab", licence="Apache-2.0")
    run = RunInfo(source=game, spec=SPEC, engine=engine, policy="drop_oldest")
    recorder = Recorder(tmp_path / "drive", about=About(route="loop"))
    assert not recorder.is_open and not (tmp_path / "drive").exists()
    recorder.begin(run)
    assert recorder.is_open
    recorder.write(make_chunk(0))
    game.info = dataclasses.replace(game.info, counts={"received": 44}, near_m=0.15)
    recorder.close()
    meta = Recording(tmp_path / "drive").meta
    assert (meta.about.engine, meta.about.engine_sha256) == ("identity", "ab")
    assert (meta.about.engine_licence, meta.about.policy) == ("Apache-2.0", "drop_oldest")
    assert (meta.about.town, meta.about.route, meta.spec) == ("GTA-V", "loop", SPEC)
    assert (meta.about.source.counts, meta.about.source.near_m) == ({"received": 44}, 0.15)
    assert "complete" in repr(Recording(tmp_path / "drive")) and "GTA-V" in repr(
        Recording(tmp_path / "drive")
    )


def test_lens_and_mount_are_in_the_calibration(worlds):
    calibration = Recording(worlds).calibration["front"]
    assert calibration["lens"] == {"lens_k": -1.0}
    assert calibration["mount"] == {"x": 1.5}


def test_every_field_of_a_frame_is_stored_and_played_back(tmp_path):
    """A new field of Frame that the tables do not hold fails here."""
    ego = np.eye(4)
    ego[:3, 3] = (1, 2, 3)
    shown = make_chunk(0)
    frames = [
        Frame(
            camera="front",
            frame_id=int(shown.frame_ids[row]),
            timestamp=float(shown.timestamps[row]),
            captured_at=1.0 + row,
            image=shown.rendered[row],
            intrinsics=shown.intrinsics,
            cam_to_world=shown.cam_to_world[row],
            labels={name: label[row] for name, label in shown.labels.items()},
            dropped_before=0,
            distortion=np.array([0.1, 0.0, 0.0, 0.0, 0.0]),
            ego_to_world=ego,
            objects=(),
            source=TOWN,
        )
        for row in range(4)
    ]
    with Recorder(tmp_path / "drive", SPEC, lossless=True) as recorder:
        recorder.write(Chunk.of(frames, index=0, dropped_before=3))
    played = [sample.frame for sample in Recording(tmp_path / "drive").samples("front")]
    assert played[0].dropped_before == 3
    played[0] = dataclasses.replace(played[0], dropped_before=0)
    for one, back in zip(frames, played, strict=True):
        for field in dataclasses.fields(Frame):
            value, found = getattr(one, field.name), getattr(back, field.name)
            if field.name == "labels":
                assert found.keys() == value.keys()
                assert all(np.allclose(found[n], value[n], rtol=1e-3) for n in value)
            elif isinstance(value, np.ndarray):
                np.testing.assert_array_equal(found, value, err_msg=field.name)
            else:
                assert found == value, field.name


def as_version_2(folder):
    """Turn a recording into what the release before wrote."""
    path = folder / "meta.json"
    meta = json.loads(path.read_text())
    meta["version"] = 2
    meta["about"]["source"] = {
        "simulator": "carla",
        "map": "Carla/Maps/Town03",
        "weather": {"precipitation": 60.0},
        "camera": {"width": 96, "height": 64, "id": 4},
        "we_tick": True,
        "near_m": None,
        "odd": [1, None],
    }
    path.write_text(json.dumps(meta))
    for segment in folder.glob("segments/*"):
        table = parquet.read_table(segment / "frames.parquet").drop_columns(["town", "weather"])
        parquet.write_table(table, segment / "frames.parquet")
        info = json.loads((segment / "segment.json").read_text())
        del info["source"]
        for take in info["cameras"].values():
            del take["town"], take["weather"]
        content = (segment / "frames.parquet").read_bytes()
        info["files"]["frames.parquet"] = {
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        (segment / "segment.json").write_text(json.dumps(info))


def test_a_recording_of_the_release_before_opens(tmp_path):
    folder = tmp_path / "old"
    about = About(town="Town03", weather="rain")
    with Recorder(folder, SPEC, about=about) as recorder:
        for index in range(3):
            recorder.write(make_chunk(index))
    as_version_2(folder)
    assert verify(folder).is_whole
    recording = Recording(folder)
    assert len(list(recording)) == 12
    assert (recording.info.town, recording.meta.about.weather) == ("Town03", "rain")
    assert recording.info.cameras["front"].actor.id == 4
    assert recording.info.ticked_by == "us"
    assert recording.info.details == {"odd": [1, None]}
    assert recording.scenes() == (recording,)
    assert next(iter(recording)).source.town == "Town03"
