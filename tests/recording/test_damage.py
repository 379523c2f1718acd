"""What verify and repair say of damaged segments, and what a recorder refuses or survives."""

import dataclasses
import json
import logging
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from recorded_drive import SPEC
from street import make_chunk

from realmaster_live.cli import main
from realmaster_live.errors import RecordingError
from realmaster_live.recording import Recorder, Recording, repair, verify


def test_a_damaged_segment_is_named_and_the_others_still_play(rig, caplog):
    film = rig / "segments" / "000001" / "front" / "real.mp4"
    content = bytearray(film.read_bytes())
    content[len(content) // 2] ^= 1
    film.write_bytes(content)
    recording = Recording(rig)
    assert len(list(recording.frames())) == 96, "its realized pictures are not asked for"
    samples = recording.samples("front", streams=["real"])
    for _ in range(20):
        next(samples)
    with pytest.raises(RecordingError, match=r"000001.front.real\.mp4 as it was recorded"):
        next(samples)
    with caplog.at_level(logging.WARNING):
        kept = list(recording.samples("front", streams=["real"], damaged="skip"))
    assert [sample.frame.frame_id for sample in kept] == [*range(1000, 1020), *range(1040, 1048)]
    assert kept[20].frame.dropped_before == 20
    assert list(recording.damaged) == ["000001"]
    assert "segment 000001 is left out" in caplog.text
    assert len(list(recording.samples("rear", damaged="skip"))) == 48
    findings = verify(rig)
    assert [segment.state for segment in findings.segments] == ["whole", "damaged", "whole"]
    assert findings.segments[1].problems == ("front/real.mp4 has other bytes than were recorded",)
    assert repair(rig).finished == ()
    assert not verify(rig).is_whole


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda seg: (seg / "front" / "sim.mp4").unlink(), "front/sim.mp4 is missing"),
        (lambda seg: (seg / "rear" / "flow.arrow").write_bytes(b""), "rear/flow.arrow has 0 bytes"),
        (lambda seg: (seg / "objects.parquet").unlink(), "objects.parquet is missing"),
        (lambda seg: (seg / "segment.json").write_text("{"), "segment.json"),
        (lambda seg: (seg / "segment.json").unlink(), "run realmaster dataset repair"),
        (lambda seg: (seg / "x.part").write_text(""), "x.part is an unfinished file"),
    ],
)
def test_verify_names_what_is_wrong(rig, harm, problem, capsys):
    harm(rig / "segments" / "000001")
    assert main(["dataset", "verify", str(rig)]) == 1
    assert problem in capsys.readouterr().out
    assert main(["dataset", "verify", "--json", "--decode", str(rig)]) == 1
    output = json.loads(capsys.readouterr().out)
    assert [segment["state"] == "whole" for segment in output["segments"]] == [True, False, True]


def test_verify_sees_a_segment_that_is_gone_and_rows_without_frames(rig):
    for path in sorted((rig / "segments" / "000002").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (rig / "segments" / "000002").rmdir()
    table = rig / "segments" / "000000" / "objects.parquet"
    rows = pyarrow.parquet.read_table(table)
    odd = {**rows.slice(0, 1).to_pylist()[0], "frame_id": 7, "class_id": 77}
    stray = pyarrow.Table.from_pylist([odd], rows.schema)
    pyarrow.parquet.write_table(pyarrow.concat_tables([rows, stray]), table)
    findings = verify(rig)
    assert findings.segments[2].state == "missing"
    assert "96 frames were recorded, 80 are there" in findings.problems
    problems = " ".join(findings.segments[0].problems)
    assert "1 rows of objects belong to no frame" in problems
    assert "the class map does not cover class 77 of objects" in problems


def test_classes_that_the_map_does_not_cover_are_named(tmp_path):
    chunk = make_chunk(0)
    chunk.labels["semantic"][1, 3, 5] = 200
    with Recorder(tmp_path / "drive", SPEC) as drive:
        drive.write(chunk)
    (segment,) = verify(tmp_path / "drive").segments
    assert segment.problems == ("the class map does not cover class 200 in front's semantic",)


@pytest.mark.parametrize(
    ("version", "advice"), [(1, "made by an older release"), (4, "install the release that wrote")]
)
def test_other_versions_name_what_to_do(rig, version, advice):
    path = rig / "meta.json"
    facts = json.loads(path.read_text()) | {"version": version, "software": "realmaster-live 9.9"}
    path.write_text(json.dumps(facts))
    for look in (Recording, verify, repair):
        with pytest.raises(RecordingError, match=advice) as caught:
            look(rig)
        assert "realmaster-live 9.9" in str(caught.value)


def test_a_recording_that_is_being_written_is_left_alone(tmp_path):
    with Recorder(tmp_path / "drive", SPEC) as drive:
        drive.write(make_chunk(0))
        assert verify(tmp_path / "drive").is_recording
        with pytest.raises(RecordingError, match="another process"):
            repair(tmp_path / "drive")
        with pytest.raises(RecordingError, match="another process"):
            Recorder(tmp_path / "drive", SPEC, overwrite=True).open()
    assert verify(tmp_path / "drive").is_whole


@pytest.mark.parametrize("name", ["../up", "", "a b", "a/b"])
def test_odd_camera_names_are_refused(name, tmp_path):
    chunk = dataclasses.replace(make_chunk(0), camera=name)
    with (
        Recorder(tmp_path / "drive", SPEC) as drive,
        pytest.raises(RecordingError, match="camera name"),
    ):
        drive.write(chunk)


def test_sizes_may_not_change_on_the_way(tmp_path):
    with Recorder(tmp_path / "drive", SPEC) as drive:
        drive.write(make_chunk(0))
        with pytest.raises(RecordingError, match="when the size changes"):
            drive.write(make_chunk(1, size=(64, 48)))


def test_too_little_room_ends_the_recording_before_the_disk_is_full(tmp_path, monkeypatch):
    folder = tmp_path / "drive"
    with Recorder(folder, SPEC) as drive:
        drive.write(make_chunk(0))
        drive.write(make_chunk(1))
        monkeypatch.setattr("realmaster_live.recording.recorder.ROOM_BYTES", 2**80)
        with pytest.raises(RecordingError, match=r"MiB of room .* free some disk space"):
            drive.write(make_chunk(2))
    assert verify(folder).is_whole
    assert len(Recording(folder)) == 8


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from recorded_drive import SPEC, chunks_of
from realmaster_live.errors import RecordingError
from realmaster_live.recording import Recorder
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
recorder = Recorder(sys.argv[1], SPEC, segment_s=1.0)
try:
    for index in range(500):
        for chunk in chunks_of(index):
            recorder.write(chunk)
except RecordingError as error:
    print(error)
recorder.close()
"""


@pytest.mark.parametrize("limit", [9_000, 20_000, 33_000])
def test_a_full_disk_ends_in_one_sentence_and_can_be_repaired(limit, tmp_path):
    folder = tmp_path / "drive"
    parts = str(Path(__file__).parents[1] / "parts")
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(folder), parts, str(limit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "free some disk space" in done.stdout
    assert done.stderr == ""
    before = len(Recording(folder))
    assert len(list(Recording(folder).frames())) == before
    assert not verify(folder).is_whole
    repair(folder)
    assert verify(folder, decode=True).is_whole
    assert len(Recording(folder)) == before
