"""The OpenDRIVE of each town, which a recording keeps as its source gave it."""

from dataclasses import replace

import pytest
from street import make_chunk

from realmaster_live import ChunkSpec
from realmaster_live.errors import RecordingError
from realmaster_live.recording import About, Recorder, Recording, verify
from realmaster_live.recording.road_maps import FOLDER

SPEC = ChunkSpec(frames=4, height=64, width=96, fps=20)
ROADS = "<OpenDRIVE>Straße</OpenDRIVE>\n"


def record(folder, **options):
    about = About(town="Town01")
    with Recorder(folder, SPEC, about=about, opendrive={"Town01": ROADS}, **options) as recorder:
        for index in range(2):
            recorder.write(make_chunk(index))
    return folder


def test_it_comes_back_as_it_was(tmp_path):
    folder = record(tmp_path / "drive")
    assert Recording(folder).opendrive == {"Town01": ROADS}
    assert verify(folder).is_whole
    again = tmp_path / "again"  # a replay is recorded with the roads of what is replayed
    with Recorder(again, SPEC, about=About(town="Town01")) as recorder:
        from realmaster_live.frames.run_info import RunInfo

        recorder.begin(RunInfo(source=Recording(folder), spec=SPEC))
        recorder.write(make_chunk(0))
    assert Recording(again).opendrive == {"Town01": ROADS}


def test_recordings_without_it_open(tmp_path):
    with Recorder(tmp_path / "drive", SPEC) as recorder:
        recorder.write(make_chunk(0))
    assert Recording(tmp_path / "drive").opendrive == {}
    assert not (tmp_path / "drive" / FOLDER).exists()


def test_another_file_in_its_place_is_noticed(tmp_path):
    folder = record(tmp_path / "drive")
    (path,) = (folder / FOLDER).iterdir()
    path.write_text("<OpenDRIVE/>")
    with pytest.raises(RecordingError, match="got other bytes"):
        _ = Recording(folder).opendrive
    assert any("other bytes" in problem for problem in verify(folder).problems)
    path.unlink()
    with pytest.raises(RecordingError, match="no such file"):
        _ = Recording(folder).opendrive


def test_a_name_cannot_lead_out_of_the_folder(tmp_path):
    folder = record(tmp_path / "drive")
    meta = Recording(folder).meta
    replace(meta, road_maps={"Town01": "../../secret.xodr"}).write(folder)
    with pytest.raises(RecordingError, match="a road map"):
        Recording(folder)


def test_overwriting_removes_it(tmp_path):
    folder = record(tmp_path / "drive")
    (path,) = (folder / FOLDER).iterdir()
    with Recorder(folder, SPEC, overwrite=True) as recorder:
        recorder.write(make_chunk(0))
    assert not path.exists() and Recording(folder).opendrive == {}
