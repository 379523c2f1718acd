"""What a killed recorder leaves: real processes, real SIGKILL."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import recorded_drive
from recorded_drive import CAMERAS, POINTS

from realmaster_live.cli import main
from realmaster_live.recording import Recording, repair, verify

HALF_A_SECOND = 10  # frames, a camera
KINDS = ("depth", "semantic", "instance", "flow")


def check_readable(folder: Path, at_least: int) -> int:
    """All frames come back as they were; return how many of a camera there are."""
    recording = Recording(folder)
    counts = []
    for camera, size in CAMERAS.items():
        count = 0
        for index, sample in enumerate(recording.samples(camera)):
            expected = next(
                chunk for chunk in recorded_drive.chunks_of(index // 4) if chunk.camera == camera
            )
            frame, place = sample.frame, index % 4
            assert frame.frame_id == 1000 + index
            assert frame.dropped_before == 0
            assert frame.image.shape == (size[1], size[0], 3)
            for name in ("semantic", "instance", "flow"):
                np.testing.assert_array_equal(frame.labels[name], expected.labels[name][place])
            error = abs(frame.image.astype(int) - expected.rendered[place])
            assert error.mean() < 4
            assert sample.real is not None
            assert len(sample.annotations) == 1
            count += 1
        assert count >= at_least
        counts.append(count)
    return min(counts)


@pytest.mark.parametrize("point", [*POINTS, "chunk 0", "chunk 4", "chunk 6", "chunk 11"])
def test_a_killed_recorder_loses_half_a_second_at_most(point, record_apart, tmp_path):
    folder = tmp_path / "drive"
    assert record_apart(folder, point) == -signal.SIGKILL
    written = {"encoding": 28, "chunk 0": 4, "chunk 4": 20, "chunk 6": 28, "chunk 11": 48}
    at_least = max(0, written.get(point, 20) - HALF_A_SECOND)
    if point in POINTS and point != "encoding":
        at_least = 20  # the segment that was being closed is all there
    check_readable(folder, at_least)
    findings = verify(folder)
    assert not findings.is_whole
    assert not findings.is_recording
    assert any("run realmaster dataset repair" in problem for problem in findings.problems)

    before = len(Recording(folder))
    done = repair(folder)
    assert done.finished or done.emptied or point == "noting"
    assert len(Recording(folder)) == before, "nothing that could be read is lost"
    assert verify(folder, decode=True).is_whole, verify(folder, decode=True).lines()
    assert not list(folder.rglob("*.part"))
    assert not list((folder / "segments").rglob("*.arrows"))
    check_readable(folder, at_least)
    meta = Recording(folder).meta
    assert meta.complete
    assert meta.repaired
    assert meta.frames == before

    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert not repair(folder).finished
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def killed_drive(record_apart, tmp_path_factory):
    """A recording of which the second segment is open; tests repair a copy of it."""
    folder = tmp_path_factory.mktemp("killed") / "drive"
    assert record_apart(folder, "chunk 8") == -signal.SIGKILL
    return folder


@pytest.mark.parametrize("renames", [1, 3, 6, 10, 13, 14, 15, 16])
def test_a_killed_repair_is_harmless(renames, record_apart, killed_drive, tmp_path):
    folder = shutil.copytree(killed_drive, tmp_path / "drive")
    before = len(Recording(folder))
    assert record_apart(folder, f"repairing {renames}") == -signal.SIGKILL
    assert len(Recording(folder)) == before
    repair(folder)
    assert len(Recording(folder)) == before
    assert verify(folder, decode=True).is_whole
    check_readable(folder, 26)


def test_the_command_line_verifies_and_repairs(killed_drive, tmp_path, capsys):
    folder = shutil.copytree(killed_drive, tmp_path / "drive")
    assert main(["dataset", "verify", str(folder)]) == 1
    output = capsys.readouterr().out
    assert "000000  whole" in output
    assert "000001  open" in output
    assert "it was interrupted: run realmaster dataset repair" in output
    assert main(["dataset", "repair", str(folder)]) == 0
    assert "finished segment 000001" in capsys.readouterr().out
    assert main(["dataset", "verify", str(folder)]) == 0
    assert "whole: everything that was recorded is there" in capsys.readouterr().out


def test_a_process_that_is_killed_at_once_leaves_what_can_be_repaired(record_apart, tmp_path):
    folder = tmp_path / "drive"
    assert record_apart(folder, "chunk 0", 1) == -signal.SIGKILL
    for path in (folder / "segments" / "000000").glob("*/*"):
        path.write_bytes(b"")  # nothing had reached the disk
    assert verify(folder).frames == 0
    done = repair(folder)
    assert done.emptied == ("000000",)
    assert done.cut == 8
    assert list(Recording(folder).frames()) == []
    assert verify(folder).is_whole


def test_a_garbled_tail_is_cut(record_apart, tmp_path):
    folder = tmp_path / "drive"
    assert record_apart(folder, "chunk 4") == -signal.SIGKILL
    film = folder / "segments" / "000000" / "front" / "sim.mp4"
    content = film.read_bytes()
    film.write_bytes(content[:-20] + os.urandom(20))
    label = folder / "segments" / "000000" / "rear" / "depth.arrow"
    label.write_bytes(label.read_bytes()[:-100])
    repair(folder)
    findings = verify(folder, decode=True)
    assert findings.is_whole
    assert 6 <= findings.segments[0].frames["front"] <= 10
    assert findings.segments[0].frames["rear"] == 10
    check_readable(folder, 6)


def test_what_is_whole_is_left_alone(record_apart, tmp_path):
    folder = tmp_path / "drive"
    assert record_apart(folder, "never") == 0
    copy = shutil.copytree(folder, tmp_path / "copy")
    done = repair(folder)
    assert not done.finished
    for path in copy.rglob("*"):
        if path.is_file():
            assert (folder / path.relative_to(copy)).read_bytes() == path.read_bytes()
