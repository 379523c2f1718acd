"""What lies in place of a file is named by every reader, whatever its library says of it."""

import os
from pathlib import Path

import numpy as np
import pytest
from driven_scene import record_drive

from realmaster_live.bridges.gtav.readers import layout
from realmaster_live.bridges.gtav.readers.drive import ReadOptions
from realmaster_live.bridges.gtav.readers.files import damaged, read_lines, read_raw
from realmaster_live.bridges.gtav.readers.sailvos import read_yaml
from realmaster_live.cli import main
from realmaster_live.cli.export import read_clips
from realmaster_live.datasets.annex_b import can_copy
from realmaster_live.errors import PairError, RealMasterError
from realmaster_live.prompts import PromptTable
from realmaster_live.recording import Recording
from realmaster_live.system.contents import classify_file
from realmaster_live.system.records import read_record

PLACED = {
    "a Git LFS pointer: run git lfs pull": b"version https://git-lfs.github.com/spec/v1\nsize 4\n",
    "an HTML page: download the file itself": b"\n<!DOCTYPE html><html>404</html>",
    "an XML page: download the file itself": b'<?xml version="1.0"?><Error>AccessDenied</Error>',
}


def frames_of_a_game(path):
    return list(layout("vpilot").open_drive(path, ReadOptions(size=(320, 160))).frames())


def array_of_a_clip(path):
    from realmaster_live.training.data import open_array

    return open_array(path)


def table_of_pairs(path):
    from realmaster_live.training.pairs.manifest import CLIPS, read_table

    return read_table(path, CLIPS, remedy="plan again")


READERS = {
    "dataset.pz": frames_of_a_game,
    "clip.npy": read_clips,
    "prompts.safetensors": PromptTable.load,
    "video.mp4": can_copy,
    "depth.raw": lambda path: read_raw(path, np.float32, (9, 9)),
    "camera.yaml": read_yaml,
    "plan.json": lambda path: read_record(
        path, dict[str, int], what="a plan", remedy="plan again", error=PairError
    ),
    "clip.sim.npy": array_of_a_clip,
    "clips.parquet": table_of_pairs,
}


@pytest.mark.parametrize("got", PLACED)
@pytest.mark.parametrize("name", READERS)
def test_what_lies_in_place_of_a_file_is_named(name, got, tmp_path):
    (tmp_path / name).write_bytes(PLACED[got])
    with pytest.raises(RealMasterError, match=f"got {got}$"):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize("got", PLACED)
@pytest.mark.parametrize("name", ["sim.mp4", "depth.arrow", "frames.parquet", "segment.json"])
def test_what_lies_in_place_of_a_recordings_file_is_named(name, got, tmp_path, capsys):
    folder = record_drive(tmp_path / "drive", chunks=1)
    (path,) = folder.rglob(name)
    path.write_bytes(PLACED[got])
    assert main(["dataset", "verify", str(folder)]) == 1
    printed = capsys.readouterr()
    assert f"got {got}" in printed.out or f"cannot be opened: {got}" in printed.out
    with pytest.raises(RealMasterError, match=f"got {got}"):
        for camera in Recording(folder, verify=False).cameras:
            list(Recording(folder, verify=False).samples(camera))


def test_other_bytes_keep_their_description(tmp_path):
    (tmp_path / "a").write_bytes(b"other")
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "a", tmp_path / "fifo", tmp_path / "absent", Path("/")):
        assert classify_file(path, "two\nlines", "mend it") == ("two lines", "mend it")
    assert "got no numbers: restore" in str(damaged(tmp_path / "a", "some", "no numbers"))
    (tmp_path / "a").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(PairError, match="expected a text file"):
        read_lines(tmp_path / "a")
