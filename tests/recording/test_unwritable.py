"""Folders and disks that may not be opened or written, or go away: one sentence each."""

import shutil
from pathlib import Path

import pytest
from recorded_drive import SPEC
from street import make_chunk

from realmaster_live.errors import RecordingError
from realmaster_live.recording import Recorder
from realmaster_live.recording.files import unwritable
from realmaster_live.recording.readable import unopened


def test_what_may_not_be_opened_or_written_says_so():
    denied = PermissionError(13, "Permission denied", "drive/sim.mp4")
    assert unopened(denied).problem == "Permission denied"
    assert "got Permission denied: change its permissions" in str(unwritable(Path("a"), denied))
    full = OSError(28, "No space left on device")
    assert "got No space left on device: free some" in str(unwritable(Path("a"), full))


def test_a_folder_that_is_removed_while_it_is_recorded_ends_in_one_sentence(tmp_path):
    folder = tmp_path / "drive"
    recorder = Recorder(folder, SPEC)
    recorder.write(make_chunk(0))
    shutil.rmtree(folder)
    with pytest.raises(RecordingError) as caught:
        for index in range(1, 9):
            recorder.write(make_chunk(index))
        recorder.close()
    assert "\n" not in str(caught.value)
    recorder.close()


def test_a_folder_that_is_removed_before_the_end_ends_in_one_sentence(tmp_path):
    folder = tmp_path / "drive"
    recorder = Recorder(folder, SPEC)
    for index in range(3):
        recorder.write(make_chunk(index))
    shutil.rmtree(folder)
    with pytest.raises(RecordingError, match="it was removed while it was recorded"):
        recorder.close()


def test_a_read_only_disk_ends_in_one_sentence(monkeypatch, tmp_path):
    def refuse(self, *_, **__):
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(RecordingError, match="Read-only file system"):
        Recorder(tmp_path / "drive", SPEC).open()
