"""Recordings that lie, lack something or hold little: one sentence, whatever the format."""

import json
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from driven_scene import FPS, ROADS, SIZE, driven_chunk, record_drive
from installed_formats import INSTALLED

from realmaster_live import ChunkSpec, SourceInfo
from realmaster_live.cli import main
from realmaster_live.frames.source_info import CameraInfo
from realmaster_live.recording import About, Recorder

SPEC = ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=FPS)


@pytest.fixture
def export(tmp_path, capsys):
    """The function that exports a recording to a format; returns the status and the last line."""

    numbers = count()

    def run(folder, to, variant="sim"):
        out = tmp_path / "out" / f"{to}-{next(numbers)}"
        command = ["dataset", "export", str(folder), "--to", to, "--variant", variant]
        status = main([*command, "--out", str(out)])
        captured = capsys.readouterr()
        assert len(captured.err.strip().splitlines()) == (status != 0)
        return status, captured.err

    return run


def described(folder, change):
    content = json.loads((folder / "meta.json").read_text())
    change(content)
    (folder / "meta.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", ["d/../../../../../x", "..", "a b", "/tmp/x"])
def test_a_camera_that_leads_out_of_the_folder_is_refused_by_name(tmp_path, export, name):
    def rename(meta):
        meta["cameras"][name] = meta["cameras"].pop("front")

    folder = described(record_drive(tmp_path / "drive", chunks=1), rename)
    for to in INSTALLED:
        status, output = export(folder, to)
        assert (status, name in output) == (1, True)
    assert {path.name for path in tmp_path.iterdir()} == {"drive"}


def test_a_camera_without_frames_is_reported(tmp_path, export):
    def rename(meta):
        meta["cameras"]["other"] = meta["cameras"].pop("front")

    folder = described(record_drive(tmp_path / "drive", chunks=1), rename)
    for to in INSTALLED:
        status, output = export(folder, to)
        assert status == 1 and "expected frames for" in output


def test_a_recording_of_one_frame(tmp_path, export):
    spec = replace(SPEC, frames=1)
    with Recorder(tmp_path / "one", spec, opendrive={"": ROADS}) as recorder:
        recorder.write(driven_chunk(0, frames=1))
    for to in INSTALLED:
        status, output = export(tmp_path / "one", to)
        assert status == (to == "lerobot"), output  # a motion takes two frames


def test_a_recording_without_realized_pictures(tmp_path, export):
    with Recorder(tmp_path / "plain", SPEC) as recorder:
        chunk = driven_chunk(0)
        recorder.write(replace(chunk, frames=chunk.rendered, rendered=None))
    for to in INSTALLED:
        status, output = export(tmp_path / "plain", to, "real")
        assert status == 2
        assert "got no real: replay it through an engine, or export --variant sim" in output


def test_labels_that_were_not_recorded(tmp_path, export):
    folder = record_drive(tmp_path / "plain", chunks=1, labels=("depth",))
    for to, one in INSTALLED.items():
        needs = one.load().NEEDS
        lacks = set(needs) - {"depth"}
        status, output = export(folder, to)
        assert status == (2 if lacks else 0), output
        assert not lacks or f"record with --labels {','.join(needs)}" in output


def test_a_class_that_carla_does_not_know(tmp_path, export):
    chunk = driven_chunk(0)
    labels = {**chunk.labels, "semantic": chunk.labels["semantic"].copy()}
    labels["semantic"][:, :20, :20] = 77
    with Recorder(tmp_path / "odd", SPEC, about=About(town="Town01")) as recorder:
        recorder.write(replace(chunk, labels=labels))
    status, output = export(tmp_path / "odd", "cityscapes")
    assert status == 1 and "got class 77 (unknown to CARLA), found 400 times" in output
    assert export(tmp_path / "odd", "webdataset")[0] == 0


def test_a_date_that_is_none(tmp_path, export):
    folder = record_drive(tmp_path / "drive", chunks=1)
    for text in ("yesterday", "", "9" * 400):
        described(folder, lambda meta, text=text: meta.update(created=text))
        status, output = export(folder, "nuscenes")
        assert status == 1 and "expected the date of the recording drive" in output


def test_a_lens_that_is_no_pinhole_is_reported_by_every_format(tmp_path, capsys):
    lens = {"lens_circle_multiplier": 3.0, "lens_k": 0.8, "lens_kcube": 0.4}
    plain = {"lens_circle_multiplier": 0.0, "lens_k": -1.0, "lens_kcube": 0.0}
    for name, lens_facts in (("fisheye", lens), ("plain", plain)):
        camera = CameraInfo(width=SIZE[0], height=SIZE[1], lens=lens_facts)
        about = About(source=SourceInfo(cameras={"front": camera}))
        with Recorder(tmp_path / name, SPEC, about=about) as recorder:
            recorder.write(driven_chunk(0))
        calibration = json.loads((tmp_path / name / "calib.json").read_text())
        assert calibration["cameras"]["front"]["lens"] == lens_facts
    distorted = replace(driven_chunk(0), distortion=np.array([0.1, 0, 0, 0, 0.02]))
    with Recorder(tmp_path / "opencv", SPEC) as recorder:
        recorder.write(distorted)
    for name, words in (("fisheye", "lens_k 0.8"), ("plain", ""), ("opencv", "distortion 0.1")):
        for to in ("kitti", "nuscenes", "coco"):
            out = tmp_path / f"{name}-{to}"
            command = ["dataset", "export", str(tmp_path / name), "--to", to, "--variant", "sim"]
            assert main([*command, "--out", str(out)]) == 0
            readme = (out / "README.md").read_text()
            assert ("is not a pinhole" in readme) == bool(words) and words in readme
            assert ("is not a pinhole" in capsys.readouterr().out) == bool(words)
