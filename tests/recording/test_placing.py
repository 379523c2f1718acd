"""Where a new recording may be written, and what replacing an old one leaves alone."""

import json
import os

import pytest
from recorded_drive import SPEC
from street import make_chunk

from realmaster_live.errors import RecordingError
from realmaster_live.recording import Recorder, Recording, repair, verify


def record(folder, **options):
    with Recorder(folder, SPEC, **options) as drive:
        drive.write(make_chunk(0))
    return folder


def everything(folder):
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_somebody_else_is_refused_and_stays(overwrite, tmp_path):
    (tmp_path / "segments").mkdir()
    (tmp_path / "segments" / "customers.csv").write_text("name")
    before = everything(tmp_path)
    with pytest.raises(RecordingError, match=r"expected an empty folder .* which holds segments"):
        Recorder(tmp_path, SPEC, overwrite=overwrite)
    assert everything(tmp_path) == before


def test_a_recording_whose_meta_json_was_lost_is_not_recorded_over(tmp_path):
    folder = record(tmp_path / "drive")
    (folder / "meta.json").unlink()
    before = everything(folder)
    for act in (lambda: Recorder(folder, SPEC, overwrite=True), lambda: repair(folder)):
        with pytest.raises(RecordingError):
            act()
        assert everything(folder) == before


@pytest.mark.parametrize("content", ['{"format": "something else"}', "{", "[]", ""])
def test_overwriting_needs_a_recording_of_ours(content, tmp_path):
    (tmp_path / "meta.json").write_text(content)
    (tmp_path / "segments" / "000000").mkdir(parents=True)
    (tmp_path / "segments" / "000000" / "frames.parquet").write_text("theirs")
    before = everything(tmp_path)
    with pytest.raises(RecordingError, match=r"meta\.json"):
        Recorder(tmp_path, SPEC, overwrite=True)
    assert everything(tmp_path) == before


def test_overwriting_removes_what_was_recorded_and_nothing_else(tmp_path):
    folder = record(tmp_path / "drive")
    (folder / "notes.txt").write_text("mine")
    (folder / "segments" / "2023").mkdir()
    (folder / "segments" / "2023" / "a.csv").write_text("mine")
    (folder / "segments" / "000001").mkdir()
    (folder / "segments" / "000001" / "front").symlink_to(tmp_path / "theirs")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "sim.mp4").write_text("theirs")
    record(folder, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "segments" / "2023" / "a.csv").read_text() == "mine"
    assert (tmp_path / "theirs" / "sim.mp4").read_text() == "theirs"
    assert verify(folder).frames == 4


def test_a_scene_log_and_an_empty_folder_may_be_there_before(tmp_path):
    (tmp_path / "scene.jsonl").write_text("{}")
    assert len(Recording(record(tmp_path))) == 4


def test_segments_behind_a_link_are_not_removed(tmp_path):
    folder = record(tmp_path / "drive")
    (folder / "segments").rename(tmp_path / "disk2")
    (folder / "segments").symlink_to(tmp_path / "disk2")
    before = everything(tmp_path)
    with pytest.raises(RecordingError, match="got a link"):
        Recorder(folder, SPEC, overwrite=True).open()
    assert everything(tmp_path) == before


def test_a_lock_that_leads_elsewhere_is_not_opened(tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / ".lock").symlink_to(tmp_path / "theirs")
    with pytest.raises(RecordingError, match="nothing is written through links"):
        Recorder(tmp_path / "drive", SPEC).open()
    (tmp_path / "drive" / ".lock").unlink()
    os.mkfifo(tmp_path / "drive" / ".lock")
    with pytest.raises(RecordingError, match="a FIFO in its place"):
        Recorder(tmp_path / "drive", SPEC).open()


ODD = [
    ({"cameras": {"../up": {"width": 8, "height": 8, "streams": {}}}}, "camera name"),
    ({"cameras": {"a/b": {"width": 8, "height": 8, "streams": {}}}}, "camera name"),
    (
        {"cameras": {"a": {"width": 8, "height": 8, "streams": {"sim": "../../x.mp4"}}}},
        "in a file",
    ),
    ({"cameras": {"a": {"width": 8, "height": 8, "streams": {"sim": 5}}}}, "streams"),
    ({"cameras": {"a": {"width": 8, "height": 8, "streams": {"x": "x.mp4"}}}}, "the stream 'x'"),
    ({"cameras": {"a": {"width": 10**9, "height": 8, "streams": {}}}}, "pixels"),
    ({"cameras": []}, "cameras"),
    ({"segments": ["../../000000"]}, "a segment"),
    ({"segments": "000000"}, "segments"),
    ({"frames": "many"}, "frames"),
    ({"frames": -1}, "-1 frames"),
    ({"spec": {"frames": 4, "height": 8, "width": 8, "fps": "20"}}, "fps"),
    ({"spec": {"frames": 4, "height": 8, "width": 8, "fps": 1e400}}, "inf"),
    ({"about": {"town": 5}}, "town"),
]


@pytest.mark.parametrize(("change", "named"), ODD)
def test_names_and_types_in_meta_json_are_checked_on_reading(change, named, tmp_path):
    folder = record(tmp_path / "drive")
    content = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(content | change))
    before = everything(folder)
    for act in (Recording, verify, repair, lambda path: Recorder(path, SPEC, overwrite=True)):
        with pytest.raises(RecordingError, match=named):
            act(folder)
    after = everything(folder)
    assert after == before
