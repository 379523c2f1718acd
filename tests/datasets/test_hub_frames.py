"""Recordings in Hugging Face's `datasets`: the frames, labels and boxes are those recorded."""

import subprocess
import sys

import numpy as np
import pytest
from installed import needs

import realmaster_live as rm
from realmaster_live.datasets import hub_frames
from realmaster_live.errors import ConfigError

pytestmark = needs("datasets")
LABELS = ("semantic", "instance", "depth", "boxes_2d", "boxes_3d")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def check(examples, recording):
    """Fail unless examples hold what was recorded."""
    for example, sample in zip(examples, recording[:], strict=True):
        np.testing.assert_array_equal(np.asarray(example["image"]), sample.real)
        np.testing.assert_array_equal(np.asarray(example["semantic"]), sample.labels["semantic"])
        np.testing.assert_array_equal(example["depth"], sample.labels["depth"])
        np.testing.assert_array_equal(example["instance"], sample.labels["instance"])
        marks = [one for one in sample.annotations if one.pixels]
        found = [np.asarray(box["boxes"]).tolist() for box in example["boxes_2d"]]
        assert found == [list(one.visible) for one in marks]
        assert len(example["boxes_3d"]) == sum(one.thing is not None for one in marks)
        assert example["frame_id"] == sample.frame_id
        np.testing.assert_array_equal(example["cam_to_world"], sample.frame.cam_to_world)


def test_frames_are_streamed(drive, monkeypatch):
    monkeypatch.setattr(hub_frames, "PIECE", 8)
    folder = drive(chunks=3)
    found = rm.datasets.hugging_face(folder, labels=LABELS)
    assert found.num_shards == 2
    check(found, rm.Recording(folder))


def test_frames_are_stored(drive):
    folder = drive()
    import datasets

    found = rm.datasets.hugging_face(folder, labels=LABELS, streaming=False)
    assert isinstance(found, datasets.Dataset) and len(found) == 8
    check(found, rm.Recording(folder))


def test_flow_pairs_and_jpeg(tmp_path):
    from street import make_chunk

    spec = rm.ChunkSpec(frames=4, height=64, width=96, fps=20)
    with rm.Recorder(tmp_path / "d", spec) as recorder:
        recorder.write(make_chunk(0))
    found = rm.datasets.hugging_face(
        tmp_path / "d", pictures="paired", labels="flow", encoding="jpg"
    )
    example, sample = next(iter(found)), rm.Recording(tmp_path / "d")[0]
    np.testing.assert_array_equal(example["flow"], sample.labels["flow"])
    for name, expected in (("sim", sample.image), ("real", sample.real)):
        assert example[name].format == "JPEG"
        assert np.abs(np.asarray(example[name]).astype(int) - expected).mean() < 4


def test_windows_and_arrays_of_several_sizes_are_refused(drive, tmp_path):
    with pytest.raises(ConfigError, match="expected window of 1, got 2"):
        rm.datasets.hugging_face(drive(), window=2)
    from recorded_drive import SPEC, chunks_of

    with rm.Recorder(tmp_path / "rig", SPEC) as recorder:
        for chunk in chunks_of(0):
            recorder.write(chunk)
    with pytest.raises(ConfigError, match="one size for depth, got 64x48, 96x64"):
        rm.datasets.hugging_face(tmp_path / "rig", labels=("depth",))
    assert next(iter(rm.datasets.hugging_face(tmp_path / "rig")))["image"].size == (96, 64)


@pytest.mark.parametrize(
    ("package", "call", "extra"),
    [
        ("torch", "rm.datasets.FrameDataset", "torch"),
        ("datasets", "rm.datasets.hugging_face('nowhere')", "huggingface"),
    ],
)
def test_a_missing_package_names_the_command_that_brings_it(package, call, extra):
    code = f"import sys; sys.modules[{package!r}] = None; import realmaster_live as rm; {call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert f"MissingDependency: expected the package {package}, got none" in last
    assert f"[{extra}]" in last
