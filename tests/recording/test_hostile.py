"""Recordings that are damaged or lead elsewhere: nothing is lost, nothing is believed."""

import json
import os
import shutil
from hashlib import sha256

import pyarrow
import pyarrow.parquet
import pytest
from recorded_drive import SPEC, chunks_of
from street import make_chunk

from realmaster_live.cli import main
from realmaster_live.errors import RecordingError
from realmaster_live.recording import Recorder, Recording, repair, verify
from realmaster_live.recording.videos import decodable_pictures

LABELS = {"depth", "semantic", "instance", "flow"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One camera, one segment of 60 frames."""
    folder = tmp_path_factory.mktemp("drives") / "finished"
    with Recorder(folder, SPEC) as drive:
        for index in range(15):
            drive.write(make_chunk(index))
    return folder


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """Two cameras, three segments of 20, 20 and 20 frames each."""
    folder = tmp_path_factory.mktemp("drives") / "rig"
    with Recorder(folder, SPEC, segment_s=1.0) as drive:
        for index in range(15):
            for chunk in chunks_of(index):
                drive.write(chunk)
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """As `finished`, but its recorder was killed after its files were written."""
    folder = tmp_path_factory.mktemp("drives") / "killed"
    with Recorder(folder, SPEC) as drive:
        for index in range(15):
            drive.write(make_chunk(index))
        drive._segment.close_files()  # as a kill before `finish` leaves them
        shutil.copytree(folder, folder.parent / "copy")
    (folder.parent / "copy" / ".lock").unlink()
    return folder.parent / "copy"


@pytest.fixture
def drive(killed, tmp_path):
    return shutil.copytree(killed, tmp_path / "drive")


def contents(folder):
    """Return the hash of every file there is below a folder."""
    return {sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def test_a_killed_recording_is_repaired_to_the_last_frame(drive):
    assert repair(drive).frames == 60
    assert verify(drive, decode=True).is_whole


def test_a_repair_keeps_everything_where_the_journal_is_empty(drive, capsys):
    (drive / "segments" / "000000" / "frames.arrows").write_bytes(b"")
    before = contents(drive / "segments")
    assert main(["dataset", "repair", str(drive)]) == 1
    output = capsys.readouterr().out
    assert "front has 60 pictures of sim" in output
    assert "set-aside-" in output
    assert before <= contents(drive)
    (film,) = drive.rglob("sim.mp4")
    assert decodable_pictures(film).pictures == 60
    findings = verify(drive)
    assert not findings.is_whole
    assert "segments/000000 was set aside" in findings.problems[0]
    shutil.rmtree(repair(drive).aside or next(drive.glob("set-aside-*")))
    assert verify(drive).is_whole  # who needs it no more deletes it


@pytest.mark.parametrize("label", sorted(LABELS))
def test_one_damaged_label_costs_no_other_stream(label, drive):
    path = drive / "segments" / "000000" / "front" / f"{label}.arrow"
    content = bytearray(path.read_bytes())
    content[8 + 4] ^= 0xFF  # the schema's length: nothing of it can be read
    path.write_bytes(content[:-40])  # and no footer helps
    before = sha256(path.read_bytes()).hexdigest()
    with pytest.raises(RecordingError, match="cannot be opened"):
        len(Recording(drive))
    assert not verify(drive).is_whole
    assert f"front/{label}.arrow cannot be opened" in " ".join(verify(drive).segments[0].problems)
    done = repair(drive)
    assert (done.finished, done.frames, done.cut) == (("000000",), 60, 0)
    assert [note.what for note in done.set_aside] == [f"segments/000000/front/{label}.arrow"]
    assert before in contents(done.aside)
    recording = Recording(drive, labels=sorted(LABELS - {label}))
    assert len(list(recording.frames())) == 60
    with pytest.raises(RecordingError, match="a repair finished without it"):
        next(Recording(drive, labels=[label]).frames())
    assert f"front has no {label} here" in verify(drive).segments[0].problems


def test_a_film_that_cannot_be_opened_costs_no_other_stream(drive):
    path = drive / "segments" / "000000" / "front" / "sim.mp4"
    path.write_bytes(b"\xff" * 16 + path.read_bytes()[16:])
    assert repair(drive).frames == 60
    assert len(list(Recording(drive).samples("front", streams=["real", *LABELS]))) == 60
    assert not verify(drive).is_whole


def test_a_film_damaged_in_the_middle_is_kept_as_it_was(drive):
    path = drive / "segments" / "000000" / "front" / "real.mp4"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    path.write_bytes(content)
    before = contents(drive)
    done = repair(drive)
    assert done.frames == 60
    assert sha256(content).hexdigest() in contents(done.aside)
    assert {name for name in before - contents(drive)} <= before  # remuxed ones only
    assert len(list(Recording(drive).samples("front", streams=["sim", *LABELS]))) == 60


def test_what_a_repair_cuts_is_kept_beside(drive):
    folder = drive / "segments" / "000000" / "front"
    film = folder / "sim.mp4"
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 9 // 10])
    labels = {name: sha256((folder / f"{name}.arrow").read_bytes()).hexdigest() for name in LABELS}
    done = repair(drive)
    assert 36 <= done.frames < 60
    assert set(labels.values()) <= contents(done.aside)
    rows = pyarrow.parquet.read_table(done.aside / "segments" / "000000" / "frames.parquet")
    assert len(rows) == 60
    findings = verify(drive, decode=True)
    assert findings.is_whole  # a killed process costs as much
    assert "holds what a repair cut" in findings.notes[0]


@pytest.mark.parametrize("camera", ["front", "left"])
def test_a_camera_whose_files_are_gone_is_a_loss(camera, rig, tmp_path):
    folder = shutil.copytree(rig, tmp_path / "drive")
    segment = folder / "segments" / "000001"
    cameras = sorted(path.name for path in segment.iterdir() if path.is_dir())
    assert len(cameras) == 2
    shutil.rmtree(segment / cameras[camera != "front"])
    (segment / "segment.json").write_text("{")
    repair(folder)
    problems = " ".join(verify(folder).problems)
    assert "of its" in problems and "rows belong to no frame that is kept" in problems


def test_a_recording_whose_every_stream_is_gone_is_not_whole(drive, capsys):
    shutil.rmtree(drive / "segments" / "000000" / "front")
    before = contents(drive)
    assert main(["dataset", "repair", str(drive)]) == 1
    assert "sim of front is not there" in capsys.readouterr().out
    assert {path.name for path in drive.rglob("frames.arrows")}
    assert len(contents(drive) & before) >= len(before) - 1  # meta.json says what there is now
    assert main(["dataset", "verify", str(drive)]) == 1


@pytest.mark.parametrize("place", ["inside", "outside"])
def test_a_camera_moved_to_another_disk_is_not_set_aside(place, drive, tmp_path):
    front = drive / "segments" / "000000" / "front"
    target = front.with_name("front-2") if place == "inside" else tmp_path / "disk"
    front.rename(target)
    front.symlink_to(target)
    before = contents(tmp_path)
    with pytest.raises(RecordingError, match="nothing is written through links"):
        repair(drive)
    assert contents(tmp_path) == before


def test_a_damaged_segment_json_is_made_anew_from_its_files(rig, tmp_path, capsys):
    folder = shutil.copytree(rig, tmp_path / "drive")
    old = json.loads((folder / "segments" / "000001" / "segment.json").read_text())
    (folder / "segments" / "000001" / "segment.json").write_text('{"format": 5}')
    assert not verify(folder).is_whole
    assert main(["dataset", "repair", str(folder)]) == 0
    assert "finished segment 000001" in capsys.readouterr().out
    assert json.loads((folder / "segments" / "000001" / "segment.json").read_text()) == old
    assert len(list(Recording(folder).frames())) == 120
    (folder / "segments" / "000002" / "segment.json").unlink()  # as the old page said
    assert repair(folder).frames == 40
    assert verify(folder, decode=True).is_whole
    assert len(Recording(folder)) == 120


def test_classes_beyond_the_map_are_noted_again(tmp_path):
    chunk = make_chunk(0)
    chunk.labels["semantic"][1, 3, 5] = 200
    with Recorder(tmp_path / "drive", SPEC) as drive:
        drive.write(chunk)
    (tmp_path / "drive" / "segments" / "000000" / "segment.json").write_text("{")
    repair(tmp_path / "drive")
    assert "does not cover class 200" in verify(tmp_path / "drive").segments[0].problems[0]


def test_another_recording_named_by_meta_json_is_not_touched(finished, drive):
    other = shutil.copytree(finished, drive.parent / "other")
    before = contents(other)
    meta = json.loads((drive / "meta.json").read_text())
    meta["cameras"]["front"]["streams"]["sim"] = "../../../../other/segments/000000/front/sim.mp4"
    (drive / "meta.json").write_text(json.dumps(meta))
    for look in (Recording, verify, repair):
        with pytest.raises(RecordingError, match=r"meta\.json"):
            look(drive)
    assert contents(other) == before


@pytest.mark.parametrize("name", ["2023", "202311", "７", "backup", "1"])
def test_folders_that_are_no_segments_stay(name, drive, capsys):
    stranger = drive / "segments" / name
    stranger.mkdir()
    (stranger / "holiday.jpg").write_bytes(b"theirs")
    assert main(["dataset", "repair", str(drive)]) == 0
    assert f"segments/{name} is no segment of this recording" in capsys.readouterr().out
    assert (stranger / "holiday.jpg").read_bytes() == b"theirs"
    assert len(Recording(drive)) == 60


def test_segments_that_are_a_link_to_somebody_elses_are_not_touched(drive):
    theirs = drive.parent / "photos"
    for year in ("2023", "2024", "000000"):
        (theirs / year).mkdir(parents=True)
        (theirs / year / "a.jpg").write_bytes(year.encode())
    shutil.rmtree(drive / "segments")
    (drive / "segments").symlink_to(theirs)
    before = contents(theirs)
    repair(drive)
    assert contents(theirs) == before
    assert len(list(theirs.rglob("*"))) == 6
    assert not list(Recording(drive).frames())


def test_segments_moved_to_another_disk_are_read_and_not_written(finished, killed, tmp_path):
    for source, is_open in ((finished, False), (killed, True)):
        folder = shutil.copytree(source, tmp_path / source.name)
        (folder / "segments").rename(tmp_path / f"disk-{source.name}")
        (folder / "segments").symlink_to(tmp_path / f"disk-{source.name}")
        assert len(list(Recording(folder).frames())) == 60
        assert verify(folder).is_whole != is_open
        before = contents(tmp_path / f"disk-{source.name}")
        if is_open:
            with pytest.raises(RecordingError, match="nothing is written through links"):
                repair(folder)
        else:
            assert not repair(folder).finished
        assert contents(tmp_path / f"disk-{source.name}") == before


def test_a_link_out_of_the_segments_is_not_read(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "drive")
    (folder / "segments" / "000000").rename(tmp_path / "elsewhere")
    (folder / "segments" / "000000").symlink_to(tmp_path / "elsewhere")
    assert "got a link to" in " ".join(verify(folder).segments[0].problems)
    with pytest.raises(RecordingError, match="got a link to"):
        list(Recording(folder).frames())
    repair(folder)
    assert (tmp_path / "elsewhere" / "segment.json").exists()


def special(kind, path):
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path.name)


FILES = [
    "front/sim.mp4",
    "front/depth.arrow",
    "frames.parquet",
    "objects.arrows",
    "frames.arrows",
    "segment.json",
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["fifo", "zero", "folder", "round"])
@pytest.mark.parametrize("file", FILES)
def test_what_is_no_regular_file_is_neither_read_nor_waited_for(file, kind, finished, drive):
    base = drive if file.endswith("arrows") else drive.parent / "finished"
    if base != drive:
        shutil.copytree(finished, base)
    path = base / "segments" / "000000" / file
    path.unlink()
    special(kind, path)
    before = contents(base / "segments")
    assert not verify(base, decode=True).is_whole
    with pytest.raises(RecordingError):
        list(Recording(base).frames())
    try:
        repair(base)
    except RecordingError as error:
        assert "\n" not in str(error)
    assert not verify(base).is_whole or file == "segment.json"
    if base == drive:
        return
    assert before <= contents(base)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["fifo", "zero", "folder", "round"])
@pytest.mark.parametrize("file", ["meta.json", "calib.json"])
def test_descriptions_that_are_no_files_end_in_one_sentence(file, kind, drive):
    (drive / file).unlink()
    special(kind, drive / file)
    if file == "meta.json":
        for look in (Recording, verify, repair):
            with pytest.raises(RecordingError):
                look(drive)
    else:
        assert not verify(drive).is_whole
        with pytest.raises(RecordingError):
            _ = Recording(drive).calibration


@pytest.mark.parametrize("number", [-1, 2**31 - 1, 10**9, 30, None])
def test_odd_picture_numbers_are_refused_and_repaired_around(number, finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "drive")
    path = folder / "segments" / "000000" / "frames.parquet"
    rows = pyarrow.parquet.read_table(path)
    places = rows["picture"].to_pylist()
    places[40] = number
    column = rows.schema.get_field_index("picture")
    odd = rows.set_column(column, rows.schema.field(column), pyarrow.array(places, pyarrow.int32()))
    pyarrow.parquet.write_table(odd, path)
    for check in (True, False):
        recording = Recording(folder, verify=check)
        for use in (lambda r: list(r.frames()), lambda r: list(r.samples("front", streams=[]))):
            with pytest.raises(RecordingError, match=r"frames\.parquet"):
                use(recording)
    assert not verify(folder).is_whole
    (folder / "segments" / "000000" / "segment.json").unlink()
    before = contents(folder / "segments")
    done = repair(folder)
    if number is None:  # no row of such a table can be trusted
        assert done.emptied == ("000000",)
        assert before <= contents(folder)
    else:
        assert done.frames == 40
        assert len(list(Recording(folder).frames())) == 40
    assert not verify(folder).is_whole


def test_a_folder_named_by_the_time_of_day_works_by_its_relative_name(
    killed, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(killed, "2026-11-28T18:30:00")
    assert repair("2026-11-28T18:30:00").frames == 60
    assert verify("2026-11-28T18:30:00", decode=True).is_whole
    with Recorder("2026-11-28T18:00:00", SPEC) as drive:
        drive.write(make_chunk(0))
    assert len(list(Recording("2026-11-28T18:00:00").frames())) == 4


def test_a_folder_of_other_bytes_than_utf8_works(killed, tmp_path):
    folder = tmp_path / os.fsdecode(b"K\xf6ln")
    shutil.copytree(killed, folder)
    assert repair(folder).frames == 60
    assert verify(folder, decode=True).is_whole
    assert len(list(Recording(folder).frames())) == 60
    with Recorder(tmp_path / os.fsdecode(b"Z\xfcrich"), SPEC) as drive:
        drive.write(make_chunk(0))
    assert len(list(Recording(tmp_path / os.fsdecode(b"Z\xfcrich")).pairs())) == 4


def test_pictures_of_another_size_are_refused(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "drive")
    meta = json.loads((folder / "meta.json").read_text())
    meta["cameras"]["front"]["height"] = 4096
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(RecordingError, match="expected pictures of 96x4096"):
        list(Recording(folder).frames())
