"""Names of exported files: by one rule, unlike each other, and checked."""

import json
import os
import tarfile
from dataclasses import replace

import pytest
from driven_scene import FPS, SIZE, driven_chunk, record_drive

from realmaster_live import ChunkSpec
from realmaster_live.datasets import Selection, coco, kitti, mcap_log, webdataset_shards, yolo
from realmaster_live.datasets.folder import ExportOptions
from realmaster_live.datasets.names import LONGEST_BYTES, alike, unique_names
from realmaster_live.datasets.selection import open_drives
from realmaster_live.datasets.written import WrittenFiles
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.recording import Recorder

LONG = "Town10HD_Opt_hero_autopilot_clear-noon_seed0007_route0012_try03_" * 3


@pytest.mark.parametrize(
    "sources",
    [
        [("run.1",), ("run-1",), ("run 1",)],
        [("night-1", "front"), ("night", "1-front"), ("a", "front")],
        [("Run",), ("run",)],  # one file on many a disk
        [(LONG + "a",), (LONG + "b",)],
        [("日本" * 60,), ("日本" * 60 + "1",)],
        [(os.fsdecode(b"K\xf6ln"),), (os.fsdecode(b"K\xfcln"),)],
        [("..",), ("",), ("/",)],
        [("K\u00f6ln",), ("Ko\u0308ln",)],  # the same letter, written in two ways
        [("K\u00d6LN",), ("Ko\u0308ln",), ("KO\u0308LN",), ("k\u00f6ln",)],  # and in another case
        [("\u01f0",), ("J\u030c",)],  # whose small and large letter are composed differently
    ],
    ids=lambda sources: sources[0][0][:12].encode("ascii", "replace").decode(),
)
def test_names_are_unlike_whatever_was_replaced(sources):
    names = unique_names(sources, "-")
    assert len(set(map(alike, names))) == len(sources)
    for name in names:
        assert 0 < len(name.encode("utf-8")) <= LONGEST_BYTES
        assert all(char.isalnum() or char in "-_" for char in name)
    backwards = unique_names(sources[::-1], "-")
    assert backwards == names[::-1]  # by the sources alone


def test_no_name_is_a_device_of_windows():
    names = unique_names([("con",), ("Aux",), ("lpt3",), ("com10",), ("console",)], "_")
    assert names[3:] == ["com10", "console"]
    assert all(name[:4] in ("con-", "Aux-", "lpt3") and "-" in name for name in names[:3])


def test_names_that_need_no_care_stay():
    assert unique_names([("drive-01",), ("Fahrt_Köln",)], "-") == ["drive-01", "Fahrt_Köln"]


def test_a_path_is_written_once(tmp_path):
    written = WrittenFiles(tmp_path, resume=False)
    for name in ("a.jpg", "b.jpg", "stra\u00dfe.jpg", "K\u00f6ln.jpg"):
        written.claim(tmp_path / name)
    for name in ("A.jpg", "STRASSE.jpg", "Ko\u0308ln.jpg", "KO\u0308LN.jpg"):
        with pytest.raises(RecordingError, match=f"of its own for each frame, got {name} twice"):
            written.claim_name(name)
    written.claim(tmp_path / "a.jpg", again=True)


@pytest.fixture(scope="module")
def like_names(tmp_path_factory):
    """Recordings whose names coincide once they are cleaned, cameras too."""
    folder = tmp_path_factory.mktemp("alike")
    (folder / "night-1").mkdir()
    (folder / "night").mkdir()
    return tuple(
        record_drive(folder / name, chunks=1)
        for name in ("run.1", "run-1", "night-1/front", "night/1-front", "front", LONG[:180])
    )


def test_every_frame_of_recordings_of_like_names_is_exported(like_names, tmp_path):
    selection = Selection(recordings=like_names)
    count = 4 * len(like_names)
    coco.export(selection, tmp_path / "coco")
    images = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())["images"]
    assert len({image["file_name"] for image in images}) == count
    assert len(list((tmp_path / "coco/sim/train").iterdir())) == count
    yolo.export(selection, tmp_path / "yolo")
    assert len(list((tmp_path / "yolo/labels/sim/train").iterdir())) == count
    kitti.export(selection, tmp_path / "kitti", suffix=".jpg")
    assert len(list((tmp_path / "kitti/training/image_2").iterdir())) == count
    webdataset_shards.export(selection, tmp_path / "wds")
    keys = []
    for path in (tmp_path / "wds/train").glob("*.tar"):
        with tarfile.open(path) as tar:
            keys += [name.split(".")[0] for name in tar.getnames() if name.endswith(".json")]
    assert len(keys) == len(set(keys)) == count
    pytest.importorskip("foxglove")
    mcap_log.export(selection, tmp_path / "mcap")
    assert len(list((tmp_path / "mcap/train").iterdir())) == len(like_names)


def test_a_drive_and_its_camera_do_not_read_as_another(tmp_path):
    """`a_b` with camera `c`, and `a` with camera `b_c`, both gave a_b_c_00001000."""
    spec = ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=FPS)
    folders = []
    for drive, camera in (("a_b", "c"), ("a", "b_c")):
        folders.append(tmp_path / drive)
        with Recorder(folders[-1], spec) as recorder:
            recorder.write(replace(driven_chunk(0), camera=camera))
    drives = open_drives(Selection(recordings=tuple(folders)), "coco")
    assert len({stem for drive in drives for stem in drive.stems.values()}) == 2
    yolo.export(Selection(recordings=tuple(folders)), tmp_path / "out")
    assert len(list((tmp_path / "out/images/sim/train").iterdir())) == 8


def test_a_frame_number_that_comes_twice_is_refused(tmp_path):
    """Whatever wrote such a recording: no frame is overwritten without a word."""
    spec = ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=FPS)
    with Recorder(tmp_path / "twice", spec) as recorder:
        for _ in range(2):
            recorder.write(driven_chunk(0))
    with pytest.raises(RecordingError, match=r"twice_front_00001000\S* twice"):
        coco.export(Selection(recordings=(tmp_path / "twice",)), tmp_path / "out")


def test_another_recording_of_a_finished_name_is_refused(tmp_path):
    resume = ExportOptions(resume=True)
    one = record_drive(tmp_path / "a/night", chunks=1)
    other = record_drive(tmp_path / "b/night", chunks=1, town="Town02")
    out = tmp_path / "out"
    coco.export(Selection(recordings=(one,)), out)
    with pytest.raises(ConfigError, match=r"under the name it has in .*night as night beside"):
        coco.export(Selection(recordings=(other,)), out, options=resume)
    with pytest.raises(ConfigError, match="as a-night beside night"):
        coco.export(Selection(recordings=(one, other)), out, options=resume)
    (tmp_path / "c").mkdir()
    (tmp_path / "a/night").rename(tmp_path / "c/night")
    again = coco.export(Selection(recordings=(tmp_path / "c/night",)), out, options=resume)
    assert again.skipped == ("night",)  # a recording may be moved


def test_an_index_that_is_damaged_is_reported(tmp_path):
    one, out = record_drive(tmp_path / "one", chunks=1), tmp_path / "out"
    coco.export(Selection(recordings=(one,)), out)
    good = json.loads((out / "export.json").read_text())
    for text in ("", "[]", "[" * 100_000, json.dumps({**good, "recordings": {"a": {"b": 1}}})):
        (out / "export.json").write_text(text)
        with pytest.raises(ConfigError, match=r"the index of an export in .*export\.json"):
            coco.export(Selection(recordings=(one,)), out, options=ExportOptions(resume=True))
