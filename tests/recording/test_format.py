"""Recordings of format version 2 as an earlier release wrote them: `parts/recordings-2.zip`."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from street import make_chunk

from realmaster_live.recording import Recording, repair, verify

ARCHIVE = Path(__file__).parents[1] / "parts" / "recordings-2.zip"


@pytest.fixture
def earlier(tmp_path):
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_recording_opens_verifies_and_is_not_changed(earlier):
    folder = earlier / "finished"
    before = contents(folder)
    findings = verify(folder, decode=True)
    assert findings.is_whole, findings.lines()
    assert not findings.notes
    done = repair(folder)
    assert (done.finished, done.emptied, done.aside) == ((), (), None)
    assert contents(folder) == before
    recording = Recording(folder)
    assert (recording.meta.about.town, recording.meta.about.engine_sha256) == ("Street", "ab12")
    assert recording.calibration["rear"]["width"] == 32
    frames = list(recording.frames())
    assert [frame.camera for frame in frames[:2]] == ["front", "rear"]
    assert len(frames) == 32
    for index in range(16):
        chunk, place = make_chunk(index // 4, size=(48, 32)), index % 4
        frame = frames[2 * index]
        assert frame.frame_id == 1000 + index
        np.testing.assert_array_equal(frame.labels["semantic"], chunk.labels["semantic"][place])
        np.testing.assert_array_equal(frame.labels["flow"], chunk.labels["flow"][place])
        assert abs(frame.image.astype(int) - chunk.rendered[place]).mean() < 6


def test_a_killed_recording_is_finished_without_a_loss(earlier):
    folder = earlier / "killed"
    before = len(Recording(folder))
    assert before > 32
    done = repair(folder)
    assert done.finished == ("000002",)
    assert len(Recording(folder)) == before
    findings = verify(folder, decode=True)
    assert findings.is_whole, findings.lines()
    assert len(list(Recording(folder).frames())) == before
