"""Columns of one film's frames, against values by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from realmaster_live.training.evaluate.drives.films import RENDER
from realmaster_live.training.evaluate.drives.track import (
    BRIGHTNESS,
    CHANGE,
    EDGES,
    STEP,
    STRUCTURE,
    WARP,
    Track,
)
from realmaster_live.training.evaluate.warp import Motion

SIZE = (6, 8)


def still(valid=True):
    y, x = np.indices(SIZE).astype(np.float32)
    return Motion(before=np.stack([x, y], -1)[None], valid=np.full((1, *SIZE), valid))


def grey(level):
    return np.full((*SIZE, 3), level, np.uint8)


def tokens(picture):
    return picture.reshape(-1, 3).astype(np.float32)


def test_changes_are_levels_and_lost_frames_have_none():
    track = Track(film=RENDER, describe=tokens)
    half = grey(100)
    half[:, :4] = 140  # half of the picture by 40 levels
    sample = SimpleNamespace(image=grey(100), labels={})
    for picture in (grey(100), half, None, half, grey(100)):
        track.add(picture, sample, still())
    columns = track.measured().columns
    nan = np.nan
    np.testing.assert_allclose(columns[CHANGE], [nan, 20, nan, nan, 20])
    np.testing.assert_allclose(columns[WARP], [nan, 20, nan, nan, 20])
    np.testing.assert_allclose(columns[BRIGHTNESS], [100, 120, nan, 120, 100], rtol=1e-6)
    np.testing.assert_allclose(columns[STEP], [nan, 20, nan, nan, 20], rtol=1e-5)
    assert EDGES not in columns, "the render's agreement with itself says nothing"
    palettes = track.measured().palettes
    assert np.isnan(palettes[2]).all() and palettes[0, 3:] == pytest.approx([0, 0, 0], abs=1e-3)


def test_only_what_was_in_view_counts_along_the_motion():
    motion = still()
    motion.valid[:, :, :4] = False
    track = Track(film="film", describe=tokens)
    changed = grey(100)
    changed[:, :4] = 140
    sample = SimpleNamespace(image=grey(100), labels={})
    track.add(grey(100), sample, None)
    track.add(changed, sample, motion)
    track.add(changed, sample, still(valid=False))
    columns = track.measured().columns
    np.testing.assert_allclose(columns[WARP], [np.nan, 0, np.nan])
    np.testing.assert_allclose(columns[CHANGE], [np.nan, 20, 0])
    assert columns[STRUCTURE][0] == 0 and columns[EDGES][0] == 1
