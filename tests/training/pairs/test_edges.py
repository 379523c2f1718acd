"""Edges: polarity, thresholds of the whole clip, the vote of neighbouring frames, and labels."""

from dataclasses import replace

import numpy as np
import pytest
from footage import write_recording
from panned_scene import scene, write_scene

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.training.evaluate.warp import motion_of
from realmaster_live.training.pairs.edges import (
    EdgesConfig,
    canny,
    depth_edges,
    instance_edges,
    make,
    thresholds,
)
from realmaster_live.training.pairs.manifest import read_clips
from realmaster_live.training.pairs.plan import PlanConfig, plan
from realmaster_live.training.pairs.sources import read_label
from realmaster_live.training.pairs.stabiliser import (
    dilated,
    flicker,
    motions_of,
    stabilise,
    with_lines,
    without_specks,
)
from realmaster_live.training.pairs.stage import Job
from realmaster_live.training.pairs.videos import read_gray

PLAN = PlanConfig(frames=9, fps=20.0, size="keep")


def clip_of(folder, source):
    plan(folder / "dataset", PLAN, [source])
    return read_clips(folder / "dataset")[0]


@pytest.fixture
def clip(tmp_path):
    write_scene(tmp_path / "pairs", 1)
    return clip_of(tmp_path, tmp_path / "pairs")


@pytest.fixture
def labelled(tmp_path):
    return clip_of(tmp_path, write_recording(tmp_path / "drive"))


def drawn(clip, folder, **options):
    """Return the maps of a clip as they come back from the file, and the facts."""
    stage = make(EdgesConfig(**options), folder)
    target = folder / f"edges{stage.spec.suffix}"
    facts = stage.run(Job(clip=clip, inputs={}), target)
    return read_gray(target), facts


def test_lines_are_black_on_white_for_vace_and_white_on_black_for_others(clip, tmp_path):
    vace, facts = drawn(clip, tmp_path)
    other, _ = drawn(clip, tmp_path, polarity="canny")
    assert vace.shape == (9, 128, 192)
    assert set(np.unique(vace)) == {0, 255}
    np.testing.assert_array_equal(vace, 255 - other)
    assert facts["edge_share"] == pytest.approx((vace == 0).mean(), abs=1e-4)
    assert 0.01 < facts["edge_share"] < 0.3


def test_one_pair_of_thresholds_a_clip():
    night = scene(1) // 8
    low, high = thresholds(night)
    assert (low, high) == (20, 40), "not lower, or noise would be edges"
    day = scene(1)
    low, high = thresholds(day)
    assert high / low == pytest.approx(2)
    assert thresholds(day[::-1]) == (low, high)
    assert EdgesConfig(low=50, high=90).thresholds(day) == (50, 90)
    assert EdgesConfig(low=300).thresholds(day) == (300, 600)
    assert EdgesConfig(high=60).thresholds(day) == (30, 60)
    for wrong in ({"low": 100, "high": 50}, {"depth_jump": 0.0}):
        with pytest.raises(ConfigError, match="leave them out"):
            EdgesConfig(**wrong)


def test_the_vote_makes_edges_of_a_noisy_clip_steadier():
    frames = scene(1, noise=8)
    motions = motions_of(frames)
    raw = without_specks(canny(frames, *thresholds(frames), 1.0), 8)
    voted = stabilise(raw, motions, "median")
    before, after = flicker(raw, motions[0]), flicker(voted, motions[0])
    assert after < 0.7 * before, (before, after)
    assert 0.7 < voted.sum() / raw.sum() < 1.3
    assert stabilise(raw, motions, "off") is raw
    either = stabilise(raw, motions, "or")
    assert (either | raw).sum() == either.sum() > raw.sum()


def line_clip(*, without=(), only=()):
    """A textured clip that pans by 2 pixels, and an upright line in it that pans too."""
    frames = scene(3)
    edges = np.zeros(frames.shape[:3], bool)
    for t in range(len(frames)):
        if t not in without and (not only or t in only):
            edges[t, 20:108, 120 - 2 * t] = True
    return frames, edges


def test_a_line_that_fails_in_one_frame_is_restored_where_it_was():
    frames, edges = line_clip(without=(4,))
    voted = stabilise(edges, motions_of(frames), "median")
    _, whole = line_clip()
    near = np.zeros_like(whole[4])
    near[20:108, 111:114] = True
    assert (voted[4] & near).sum() > 0.8 * whole[4].sum()
    assert (voted[4] & ~near).sum() < 0.1 * whole[4].sum()


def test_a_line_that_flashes_in_one_frame_goes():
    frames, edges = line_clip(only=(4,))
    voted = stabilise(edges, motions_of(frames), "median")
    assert voted.sum() < 0.1 * edges.sum()
    assert stabilise(edges, motions_of(frames), "or").sum() > 2 * edges.sum()


def test_flicker_by_hand():
    frames, steady = line_clip()
    motion = motion_of(frames)
    assert flicker(steady, motion) < 0.1
    _, blinking = line_clip(without=(1, 3, 5, 7))
    assert flicker(blinking, motion) > 0.9
    assert flicker(np.zeros_like(steady), motion) == 0


def test_specks_go_and_lines_stay():
    edges = np.zeros((1, 20, 20), bool)
    edges[0, 3, 2:12] = True
    edges[0, 10, 10] = edges[0, 11, 11] = True
    kept = without_specks(edges, 3)
    assert kept.sum() == 10
    assert kept[0, 3, 2:12].all()
    np.testing.assert_array_equal(without_specks(edges, 2), edges)


def test_a_line_a_pixel_off_is_the_same_line():
    one, other = np.zeros((2, 1, 20, 20), bool)
    one[0, :, 5] = other[0, :, 6] = other[0, :, 12] = True
    joined = with_lines(one, other)
    assert joined[0].any(0).nonzero()[0].tolist() == [5, 12]


def test_a_plane_to_the_horizon_has_no_depth_edges_but_a_car_on_it_has():
    rows = np.arange(64, dtype=np.float32)[:, None].repeat(96, 1)
    street = np.where(rows > 20, 300 / np.maximum(rows - 20, 1), 1000.0)
    assert not depth_edges(street[None, 21:], 0.1).any()
    street[30:50, 40:60] = 8.0
    edges = depth_edges(street[None], 0.1)[0]
    assert edges[32:45, 40].all()
    assert edges[32:45, 59].all()
    assert not edges[32:45, 42:58].any(), "its side is flat"


def test_objects_end_where_their_ids_do():
    instance = np.zeros((1, 6, 6), np.int32)
    instance[0, 2:4, 2:4] = 7
    edges = instance_edges(instance)[0]
    assert edges[2:4, 1].all()
    assert edges[2:4, 3].all()
    assert edges[1, 2:4].all()
    assert edges[3, 2:4].all()
    assert edges.sum() == 7


def test_exact_edges_come_from_labels_and_have_lane_marks_by_canny(labelled, tmp_path):
    exact, _ = drawn(labelled, tmp_path, method="exact", with_canny=False)
    car = read_label(labelled, "instance") > 0
    bounds = instance_edges(read_label(labelled, "instance"))
    assert (exact[bounds] == 0).all()
    assert (exact[car & ~dilated(bounds)] == 0).mean() < 0.05
    both, facts = drawn(labelled, tmp_path, method="exact", low=20, high=60)
    by_canny, _ = drawn(labelled, tmp_path, low=20, high=60)
    np.testing.assert_array_equal(both == 0, with_lines(exact == 0, by_canny == 0))
    assert (both == 0).sum() > (exact == 0).sum(), "the horizon is no object's end"
    assert facts["method"] == "exact"


def test_depth_is_drawn_with_near_white(labelled, tmp_path):
    maps, _ = drawn(labelled, tmp_path, method="depth")
    depth = read_label(labelled, "depth")
    nearest, farthest = depth == depth.min(), depth == depth.max()
    assert maps[nearest].min() == 255
    assert maps[farthest].max() == 0


@pytest.mark.parametrize(("method", "label"), [("exact", "instance"), ("depth", "depth")])
def test_missing_labels_say_what_to_do(clip, tmp_path, method, label):
    with pytest.raises(PairError, match=f"expected the label {label} of .* got no labels"):
        drawn(clip, tmp_path, method=method)


def test_a_clip_of_one_frame_has_edges(clip, tmp_path):
    maps, facts = drawn(replace(clip, frames=1), tmp_path)
    assert maps.shape == (1, 128, 192)
    assert "flicker" not in facts
    assert (maps == 0).any()


def test_the_facts_state_what_the_vote_gained(tmp_path):
    write_scene(tmp_path / "pairs", 1, noise=8)
    _, facts = drawn(clip_of(tmp_path, tmp_path / "pairs"), tmp_path)
    assert 0 < facts["flicker"] < 0.7 * facts["flicker_of_canny"]
