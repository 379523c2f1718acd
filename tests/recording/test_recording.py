import json
import os
import shutil
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet
import pytest
from street import SIZE, make_chunk

from realmaster_live import ChunkSpec, SourceInfo
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.protocols import Sink, Source
from realmaster_live.recording import About, Recorder, Recording

SEGMENT = Path("segments") / "000000"
PARTS = str(Path(__file__).parents[1] / "parts" / "street.py")
ABOUT = About(
    engine="inverting",
    engine_sha256="ab12",
    source=SourceInfo.of({"kind": "test", "map": "Street", "weather": {"cloudiness": 10.0}}),
    policy="block",
    seed=7,
)


@pytest.fixture(scope="module")
def recorded_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded") / "drive"
    spec = ChunkSpec(frames=4, height=SIZE[1], width=SIZE[0], fps=20)
    with Recorder(folder, spec, about=ABOUT) as recorder:
        for index in range(6):
            recorder.write(make_chunk(index))
    return folder


@pytest.fixture
def recorded(recorded_once, tmp_path):
    """A copy of one's own."""
    return shutil.copytree(recorded_once, tmp_path / "drive")


def test_everything_that_was_written_comes_back(recorded, chunk_at):
    with Recording(recorded) as recording:
        frames = list(recording.frames())
    assert len(recording) == len(frames) == 24
    chunk = chunk_at(3)
    for offset in range(4):
        frame = frames[12 + offset]
        assert frame.camera == "front"
        assert frame.frame_id == chunk.frame_ids[offset]
        assert frame.timestamp == chunk.timestamps[offset]
        np.testing.assert_array_equal(frame.cam_to_world, chunk.cam_to_world[offset])
        np.testing.assert_array_equal(frame.intrinsics, chunk.intrinsics)
        for name in ("semantic", "instance", "flow"):
            np.testing.assert_array_equal(frame.labels[name], chunk.labels[name][offset])
        np.testing.assert_allclose(frame.labels["depth"], chunk.labels["depth"][offset], atol=7e-5)
        error = abs(frame.image.astype(int) - chunk.rendered[offset])
        assert error.mean() < 2.5  # H.264 with half the colour resolution
        assert np.percentile(error, 90) <= 4  # flat colours keep their hue


def test_rendered_and_realized_are_both_there(recorded, chunk_at):
    with Recording(recorded) as recording:
        rendered, realized = list(recording.pairs())[5]
    assert abs(255 - rendered.astype(int) - realized).mean() < 5
    assert abs(realized.astype(int) - chunk_at(1).frames[1]).mean() < 2.5


def test_they_are_a_sink_and_a_source(recorded, tmp_path, spec):
    assert isinstance(Recording(recorded), Source)
    with Recorder(tmp_path / "other", spec) as recorder:
        assert isinstance(recorder, Sink)


def test_the_table_names_engine_policy_seed_and_losses(recorded, tmp_path, spec, chunk_at):
    rows = pyarrow.parquet.read_table(recorded / SEGMENT / "frames.parquet")
    assert rows.num_rows == 24
    row = rows.to_pylist()[23]
    assert row["frame_id"] == 1023
    assert row["chunk_index"] == 5
    assert (row["engine"], row["engine_sha256"]) == ("inverting", "ab12")
    assert (row["policy"], row["seed"]) == ("block", None)
    assert not list(recorded.rglob("*.arrows"))
    with Recorder(tmp_path / "gap", spec, about=ABOUT) as recorder:
        recorder.write(chunk_at(0))
        chunk = chunk_at(2)
        object.__setattr__(chunk, "dropped_before", 4)
        recorder.write(chunk)
    gap = Recording(tmp_path / "gap")
    assert [frame.dropped_before for frame in gap.frames()] == [0, 0, 0, 0, 4, 0, 0, 0]
    assert gap.meta.lost_frames == 4


def test_meta_says_where_it_comes_from(recorded, spec):
    meta = Recording(recorded).meta
    assert meta.complete
    assert meta.frames == 24
    assert meta.about == ABOUT
    assert meta.spec == spec
    assert meta.software.startswith("realmaster-live ")
    assert meta.host["cores"] == os.cpu_count() and meta.host["peak_memory_mib"] > 10
    assert (meta.about.town, meta.about.weather) == ("Street", "clear")
    segment = json.loads((recorded / SEGMENT / "segment.json").read_text())
    for file, kept in segment["files"].items():
        content = (recorded / SEGMENT / file).read_bytes()
        assert kept == {"bytes": len(content), "sha256": sha256(content).hexdigest()}


def test_without_an_engine_there_is_no_second_film(tmp_path, spec, chunk_at):
    chunk = chunk_at(0, labels=())
    object.__setattr__(chunk, "rendered", None)
    with Recorder(tmp_path / "raw", spec) as recorder:
        recorder.write(chunk)
    assert [path.name for path in (tmp_path / "raw" / SEGMENT / "front").iterdir()] == ["sim.mp4"]
    recording = Recording(tmp_path / "raw")
    assert len(list(recording.frames())) == 4
    with pytest.raises(RecordingError, match="realized"):
        next(recording.pairs())


def test_labels_can_be_chosen(recorded):
    assert set(next(Recording(recorded, labels=["depth"]).frames()).labels) == {"depth"}
    assert not next(Recording(recorded, labels=[]).frames()).labels
    with pytest.raises(ConfigError, match="normals"):
        Recording(recorded, labels=["normals"])


def test_pace_follows_the_simulation_clock(recorded):
    began = time.monotonic()
    frames = list(Recording(recorded, labels=[], pace=True).frames())
    assert frames[-1].captured_at - began >= 23 / 20


def test_an_empty_run_leaves_an_empty_folder(tmp_path, spec):
    with Recorder(tmp_path / "none", spec):
        pass
    assert list((tmp_path / "none").iterdir()) == []
    with pytest.raises(RecordingError, match=r"meta\.json"):
        Recording(tmp_path / "none")


def test_a_recording_is_not_overwritten_by_accident(recorded, spec, chunk_at):
    with pytest.raises(RecordingError, match="another folder"):
        Recorder(recorded, spec)
    with Recorder(recorded, spec, overwrite=True) as recorder:
        recorder.write(chunk_at(0, labels=("depth",)))
    assert len(Recording(recorded)) == 4
    assert not list(recorded.rglob("flow.arrow"))


def test_labels_may_not_change_on_the_way(tmp_path, spec, chunk_at):
    with Recorder(tmp_path / "drive", spec) as recorder:
        recorder.write(chunk_at(0))
        with pytest.raises(RecordingError, match="when the labels change"):
            recorder.write(chunk_at(1, labels=("depth",)))
    with pytest.raises(RecordingError, match="closed"):
        recorder.write(chunk_at(1))


def test_odd_sizes_are_refused(tmp_path, spec, chunk_at):
    with (
        Recorder(tmp_path / "drive", spec) as recorder,
        pytest.raises(RecordingError, match="even sides"),
    ):
        recorder.write(chunk_at(0, size=(95, 64)))


@pytest.mark.parametrize(
    "file",
    [
        "meta.json",
        "segments/000000/segment.json",
        "segments/000000/frames.parquet",
        "segments/000000/objects.parquet",
        "segments/000000/front/sim.mp4",
        "segments/000000/front/real.mp4",
        "segments/000000/front/depth.arrow",
        "segments/000000/front/instance.arrow",
    ],
)
@pytest.mark.parametrize("damage", ["missing", "cut", "garbage", "flipped"])
def test_a_missing_or_damaged_file_is_named(recorded, file, damage):
    path = recorded / file
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:middle])
    elif damage == "garbage":
        path.write_bytes(os.urandom(len(content)))
    else:
        path.write_bytes(content[:middle] + os.urandom(64) + content[middle + 64 :])
    if damage == "flipped" and file == "meta.json":
        path.write_text(json.dumps({**json.loads(content), "version": 99}))
    with pytest.raises(RecordingError, match=file.replace(".", r"\.")):
        recording = Recording(recorded)
        list(recording.frames())
        list(recording.pairs())


KILLED = """
import importlib.util, sys
from pathlib import Path
from realmaster_live import ChunkSpec
from realmaster_live.recording import Recorder
module = importlib.util.spec_from_file_location("parts", sys.argv[1])
parts = importlib.util.module_from_spec(module); module.loader.exec_module(parts)
recorder = Recorder(sys.argv[2], ChunkSpec(frames=4, height=64, width=96, fps=20))
for index in range(10**6):
    recorder.write(parts.make_chunk(index))
    print(index, flush=True)
"""


def test_after_kill_9_all_but_the_last_moments_play(tmp_path, spec):
    folder = tmp_path / "drive"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, PARTS, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        while int(process.stdout.readline()) < 20:
            pass
        process.send_signal(signal.SIGKILL)
    written = 21 * 4
    recording = Recording(folder)
    assert not recording.meta.complete
    frames = list(recording.frames())
    assert len(recording) == len(frames) >= written - 10  # half a second
    assert frames[40].frame_id == 1040
    assert frames[40].labels["instance"].max() == 14 << 16 | 4711
    for name in ("sim.mp4", "real.mp4"):  # and they play anywhere, without us
        with av.open(folder / SEGMENT / "front" / name) as container:
            assert sum(1 for _ in container.decode(video=0)) >= written - 10


FULL = """
import importlib.util, resource, signal, sys
from realmaster_live import ChunkSpec
from realmaster_live.errors import RecordingError
from realmaster_live.recording import Recorder
module = importlib.util.spec_from_file_location("parts", sys.argv[1])
parts = importlib.util.module_from_spec(module); module.loader.exec_module(parts)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
recorder = Recorder(sys.argv[2], ChunkSpec(frames=4, height=64, width=96, fps=20))
try:
    for index in range(500):
        recorder.write(parts.make_chunk(index))
except RecordingError as error:
    print(error)
try:
    recorder.close()
except RecordingError:
    pass
recorder.close()
"""


def test_a_full_disk_is_a_recording_error_and_what_was_written_plays(tmp_path):
    folder = tmp_path / "drive"
    done = subprocess.run(
        [sys.executable, "-c", FULL, PARTS, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "free some disk space" in done.stdout
    assert done.stderr == ""
    recording = Recording(folder)
    assert not recording.meta.complete
    assert 4 <= len(list(recording.frames())) < 2000


def test_an_unwritable_folder_is_a_recording_error(tmp_path, spec):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="record elsewhere"):
        Recorder(tmp_path / "file" / "drive", spec).open()


def test_a_closed_recording_is_not_an_empty_one(recorded):
    recording = Recording(recorded)
    frames = recording.frames()
    next(frames)
    recording.close()
    assert list(frames) == []  # closing ends what was begun
    with pytest.raises(RecordingError, match=r"expected an open recording, got .*: open it again"):
        next(iter(recording))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crf": 99}, "expected a crf from 0 to 51, got 99"),
        ({"crf": "18"}, "expected a crf from 0 to 51, got '18'"),
        ({"preset": "slowest"}, "expected a preset among ultrafast, .*, got 'slowest'"),
        ({"container": "avi"}, "expected a container among mp4, mkv, got 'avi'"),
    ],
)
def test_wrong_settings_of_the_films_are_refused_at_once(tmp_path, wrong, message):
    with pytest.raises(ConfigError, match=message):
        Recorder(tmp_path / "drive", **wrong)
    assert not (tmp_path / "drive").exists()
