import json

import numpy as np
import pytest
from installed import needs

from realmaster_live.cli.command import parse
from realmaster_live.errors import ConfigError
from realmaster_live.frames.classes import CLASS_IDS

pytestmark = needs("mitsuba", "pyoidn")

FLAGS = ["--seeds", "1000", "--size", "96x64", "--spp", "1", "--drives", "1"]
NAME = "town1000-0"


def render(*arguments):
    """Run `realmaster pairs render`, with its errors as they are raised."""
    verb, options = parse(["pairs", "render", *arguments])
    assert verb(options) == 0


@pytest.mark.slow
def test_labels_lie_beside_every_frame_and_only_some_are_traced(tmp_path):
    sparse = ["--frames", "5", "--truth-every", "2", "--with-labels"]
    render("--out", str(tmp_path), *FLAGS, *sparse)
    facts = json.loads((tmp_path / f"{NAME}.json").read_text())
    assert facts["frames"] == 5 and facts["truth_frames"] == [1, 3]
    sim, truth = (np.load(tmp_path / f"{NAME}.{kind}.npy") for kind in ("sim", "truth"))
    assert sim.shape == (5, 64, 96, 3) and truth.shape == (2, 64, 96, 3)
    with np.load(tmp_path / f"{NAME}.labels.npz") as labels:
        semantic, instance, depth = (labels[key] for key in ("semantic", "instance", "depth"))
    assert semantic.shape == instance.shape == depth.shape == (5, 64, 96)
    assert (semantic.dtype, instance.dtype, depth.dtype) == (np.uint8, np.int32, np.float16)
    assert np.array_equal(np.isinf(depth), semantic == CLASS_IDS["sky"])
    assert {CLASS_IDS["road"], CLASS_IDS["building"]} <= set(np.unique(semantic))
    dense = tmp_path / "dense"
    render("--out", str(dense), *FLAGS, "--frames", "4")
    assert np.array_equal(np.load(dense / f"{NAME}.truth.npy")[[1, 3]], truth)
    assert "truth_frames" not in json.loads((dense / f"{NAME}.json").read_text())


@pytest.mark.slow
def test_clips_that_are_drawn_again_get_the_same_labels(tmp_path):
    whole = tmp_path / "whole"
    render("--out", str(whole), *FLAGS, "--frames", "2", "--with-labels")
    again = ["--truth-from", str(whole), "--with-labels"]
    render("--out", str(tmp_path / "again"), *again)
    with (
        np.load(whole / f"{NAME}.labels.npz") as first,
        np.load(tmp_path / "again" / f"{NAME}.labels.npz") as second,
    ):
        assert set(first) == set(second) == {"semantic", "instance", "depth"}
        assert all(np.array_equal(first[key], second[key]) for key in first)


def test_a_clip_without_any_truth_is_refused(tmp_path):
    for every in ("0", "6"):
        with pytest.raises(ConfigError, match="--truth-every"):
            render("--out", str(tmp_path), *FLAGS, "--frames", "5", "--truth-every", every)
