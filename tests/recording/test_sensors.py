"""What the vehicle did and measured: written once a tick, read back, killed, damaged, replayed."""

import dataclasses
import signal
from pathlib import Path

import numpy as np
import pyarrow.ipc
import pytest
from recorded_drive import SPEC, chunks_of
from sensor_states import WEATHER, state_at, with_states

from realmaster_live.cli import main
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.frames.source_info import SensorInfo, SourceInfo
from realmaster_live.recording import About, Recorder, Recording, repair, verify

SENSORS = {kind: SensorInfo(kind=kind) for kind in ("imu", "gnss", "collision", "lidar", "radar")}
ABOUT = About(source=SourceInfo(simulator="carla", town="Town01", sensors=SENSORS))


def record(folder: Path, chunks=8, keep=lambda chunk: chunk) -> Path:
    with Recorder(folder, SPEC, about=ABOUT, segment_s=1.0) as drive:
        for index in range(chunks):
            for chunk in chunks_of(index):
                drive.write(keep(with_states(chunk)))
    return folder


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return record(tmp_path_factory.mktemp("sensors") / "drive")


def same(one, other):
    """Whether two states are equal, arrays and sweeps included."""
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "keys"):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def test_every_frame_comes_back_with_the_state_of_its_own_tick(drive):
    recording = Recording(drive)
    for camera in recording.cameras:
        frames = [sample.frame for sample in recording.samples(camera, streams=())]
        assert [frame.ego.frame_id for frame in frames] == [frame.frame_id for frame in frames]
        for frame in frames:
            assert same(frame.ego, state_at(frame.frame_id)), frame.frame_id
            assert frame.source.weather == WEATHER
    assert same(recording[6].frame.ego, state_at(1003))


def test_a_tick_is_written_once_whatever_the_number_of_cameras(drive):
    table = Recording(drive).table("ego")
    assert table["frame_id"].to_pylist() == list(range(1000, 1032))
    assert table["speed"].to_pylist()[5] == pytest.approx(state_at(1005).speed)
    assert dict(table["weather"][0].as_py()) == WEATHER
    file = pyarrow.ipc.open_file(drive / "segments/000000/lidar.arrow")
    assert file.num_record_batches == 19  # of twenty ticks one had no sweep


def test_readings_come_sensor_by_sensor_with_the_numbers_of_their_frames(drive):
    recording = Recording(drive)
    counts = {"control": 29, "imu": 32, "gnss": 32, "collision": 2, "lane_invasion": 1}
    assert recording.sensor_counts == {**counts, "lidar": 30, "radar": 32}
    lidar = dict(recording.sensors("lidar"))
    missing = {number for number in range(1000, 1032) if "lidar" in state_at(number).missing}
    assert len(missing) == 2 and lidar.keys() == {*range(1000, 1032)} - missing
    assert same(lidar[1004], state_at(1004).sweeps["lidar"])
    assert [number for number, _ in recording.sensors("collision")] == [1006, 1021]
    imu = dict(recording.sensors("imu"))
    assert same(imu[1030], state_at(1030).imu)
    with pytest.raises(ConfigError, match="got semantic_lidar: record again with --sensors sem"):
        recording.sensors("semantic_lidar")
    with pytest.raises(ConfigError, match="got lidr: name one of those"):
        recording.sensors("lidr")


def test_verify_and_info_count_the_readings(drive, capsys):
    findings = verify(drive, decode=True)
    assert findings.is_whole, findings.lines()
    assert findings.segments[0].sweeps == {"lidar": 19, "radar": 20}
    assert findings.segments[0].missing == {"lidar": 1}
    assert findings.segments[0].rows["ego"] == 20
    assert main(["dataset", "info", str(drive)]) == 0
    assert "30 lidar (2 missing)" in capsys.readouterr().out


def test_a_recording_without_states_has_none(tmp_path):
    folder = record(tmp_path / "drive", 2, lambda chunk: dataclasses.replace(chunk, egos=()))
    recording = Recording(folder)
    assert all(frame.ego is None for frame in recording)
    assert len(recording.table("ego")) == 0
    assert not list(folder.rglob("ego.*")) and verify(folder).is_whole
    with pytest.raises(ConfigError, match="got imu: record again with --sensors imu"):
        recording.sensors("imu")


def test_a_replay_records_everything_again(drive, tmp_path):
    with Recorder(tmp_path / "again", SPEC) as again:
        source = Recording(drive, cameras=["front"])
        for sample in source.samples("front"):
            frame = sample.frame
            chunk = type(next(chunks_of(0))).of([frame], index=0)
            again.write(chunk)
    states = [frame.ego for frame in Recording(tmp_path / "again")]
    assert all(same(state, state_at(state.frame_id)) for state in states) and len(states) == 32


@pytest.mark.parametrize("point", ["encoding", "closing", "tables", "hashing", "chunk 6"])
def test_a_killed_recorder_loses_no_more_of_the_sensors_than_of_the_films(
    point, record_apart, tmp_path
):
    folder = tmp_path / "drive"
    assert record_apart(folder, point, sensors=True) == -signal.SIGKILL
    for _ in range(2):  # as it was left, and repaired
        recording = Recording(folder)
        frames = list(recording)
        assert frames
        assert all(same(frame.ego, state_at(frame.frame_id)) for frame in frames)
        seen = max(frame.frame_id for frame in frames)
        assert max(dict(recording.sensors("lidar"))) >= seen - 1  # the last may be a missing one
        repair(folder)
    assert verify(folder, decode=True).is_whole, verify(folder, decode=True).lines()
    assert not list((folder / "segments").rglob("*.arrows"))
    lidar = folder / "segments/000000/lidar.arrow"
    assert pyarrow.ipc.open_file(lidar).num_record_batches >= 19


def test_a_damaged_file_of_sweeps_is_said_and_set_aside_as_far_as_it_cannot_be_read(tmp_path):
    folder = record(tmp_path / "drive", 4)
    path = folder / "segments/000000/lidar.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    path.write_bytes(content)
    assert any("lidar.arrow" in line for line in verify(folder).lines() if "!" in line)
    with pytest.raises(RecordingError, match=r"lidar\.arrow"):
        list(Recording(folder).sensors("lidar"))
    assert list(Recording(folder).sensors("radar"))  # the others are whole
    (folder / "segments/000000/segment.json").unlink()
    done = repair(folder)
    assert any("lidar" in note.what and note.is_loss for note in done.set_aside)
    kept = dict(Recording(folder).sensors("lidar"))
    assert kept and all(same(one, state_at(n).sweeps["lidar"]) for n, one in kept.items())


def test_links_and_other_files_are_no_sweeps(drive, tmp_path):
    folder = record(tmp_path / "drive", 2)
    lidar = folder / "segments/000000/lidar.arrow"
    radar = folder / "segments/000000/radar.arrow"
    lidar.unlink()
    lidar.symlink_to(drive / "segments/000000/lidar.arrow")
    with pytest.raises(RecordingError, match=r"lidar\.arrow"):
        list(Recording(folder).sensors("lidar"))
    radar.write_bytes(b"GIF89a" * 50)
    with pytest.raises(RecordingError, match=r"radar\.arrow"):
        list(Recording(folder, verify=False).sensors("radar"))


def test_an_overwritten_recording_leaves_nothing_behind(tmp_path):
    folder = record(tmp_path / "drive", 2)
    with Recorder(folder, SPEC, overwrite=True) as again:
        for chunk in chunks_of(0):
            again.write(chunk)
    assert not list(folder.rglob("lidar.arrow")) and not list(folder.rglob("ego.parquet"))
