"""Exports of chosen frames: the file that names them, and what is then written."""

import json

import numpy as np
import pytest

from realmaster_live.cli import main
from realmaster_live.datasets import Selection
from realmaster_live.datasets.frame_ranges import FrameRanges
from realmaster_live.datasets.selection import drives_of
from realmaster_live.errors import ConfigError
from realmaster_live.recording import Recording

GOOD = '[frames]\n"drive" = ["1005", "1001-1003"]\n'


@pytest.fixture
def chosen(drive, tmp_path, monkeypatch):
    """The function that reads a file of frames beside a drive of the frames 1000 to 1007."""
    monkeypatch.chdir(tmp_path)
    folder = drive()

    def read(text=GOOD):
        (tmp_path / "frames.toml").write_text(text)
        return folder, FrameRanges.read(tmp_path / "frames.toml")

    return read


def test_the_chosen_frames_are_taken(chosen):
    folder, ranges = chosen()
    assert ranges.of == {folder.resolve(): ((1001, 1003), (1005, 1005))}
    selection = Selection(recordings=(folder,), frames=ranges)
    (drive,) = drives_of(selection)
    taken = [one.frame_id for one in drive.samples("front", selection)]
    assert taken == [1001, 1002, 1003, 1005]


@pytest.mark.parametrize("name", ["kitti_odometry", "mcap", "webdataset"])
def test_every_kind_of_export_takes_them(chosen, tmp_path, name, capsys):
    if name == "mcap":
        pytest.importorskip("mcap")
    folder, _ = chosen()
    out = tmp_path / "out"
    command = ["dataset", "export", folder.name, "--to", name, "--out", str(out)]
    assert main([*command, "--frames", "frames.toml"]) == 0, capsys.readouterr().err
    assert "4 frames" in capsys.readouterr().out
    index = json.loads((out / "export.json").read_text())
    assert index["frames"] == {str(folder.resolve()): [[1001, 1003], [1005, 1005]]}
    if name == "kitti_odometry":  # a sequence ends where frames were left out
        assert len(list(out.rglob("poses/*.txt"))) == 2


@pytest.mark.parametrize(
    "text",
    ["", "[frames]\n", "[other]\na = 1\n", '[frames]\ndrive = "1-2"\n', "[frames]\ndrive = []\n",
     '[frames]\ndrive = ["2-1"]\n', '[frames]\ndrive = ["1-3", "3"]\n', "[frames]\ndrive = [1]\n",
     '[frames]\ndrive = ["1"]\n[more]\n', "frames = 3\n", '[frames]\ndrive = ["-4"]\n', "\0"],
)  # fmt: skip
def test_a_file_of_something_else_is_refused(chosen, text):
    with pytest.raises(ConfigError, match=r"expected a table \[frames\] of recordings"):
        chosen(text)


@pytest.mark.parametrize("frames", ["1-3", "1008", "0-999"])
def test_frames_that_were_not_recorded_are_named(chosen, frames):
    folder, ranges = chosen(f'[frames]\n"drive" = ["1001", "{frames}"]\n')
    with pytest.raises(ConfigError, match=f"got {frames}, where it has 1000 to 1007"):
        drives_of(Selection(recordings=(folder,), frames=ranges))


def test_only_chosen_frames_are_decoded(chosen):
    """A film that cannot be read does no harm where none of its frames is chosen."""
    folder, ranges = chosen('[frames]\n"drive" = ["1001-1002"]\n')
    selection = Selection(recordings=(folder,), frames=ranges)
    (drive,) = drives_of(selection)
    whole = {one.frame_id: one for one in Recording(folder).samples("front")}
    for one in drive.samples("front", selection, ("instance",)):
        np.testing.assert_array_equal(one.image, whole[one.frame_id].image)
        np.testing.assert_array_equal(
            one.labels["instance"], whole[one.frame_id].labels["instance"]
        )
    frames = drive.recording.samples("front", streams=("sim",), frames=[(1, 5)])
    (folder / "segments/000000/front/sim.mp4").write_bytes(b"")
    assert not list(frames)


def test_the_file_and_the_command_name_the_same_recordings(chosen, drive):
    folder, ranges = chosen()
    other = drive("other")
    with pytest.raises(ConfigError, match=r"got none of \S+other in it"):
        drives_of(Selection(recordings=(folder, other), frames=ranges))
    with pytest.raises(ConfigError, match=r"got \S+drive in it alone|got none of"):
        drives_of(Selection(recordings=(other,), frames=ranges))


def test_a_file_that_is_not_there_is_one_sentence(chosen, tmp_path, capsys):
    folder, _ = chosen()
    command = ["dataset", "export", str(folder), "--to", "coco", "--out", str(tmp_path / "out")]
    assert main([*command, "--frames", str(tmp_path / "none.toml")]) == 2
    assert capsys.readouterr().err.count("expected") == 1
    assert not (tmp_path / "out").exists()
