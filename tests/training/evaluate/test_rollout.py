import dataclasses

import numpy as np
import pytest

from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import PairError
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.training.data import Clip
from realmaster_live.training.evaluate.pictures import realize_frames
from realmaster_live.training.evaluate.rollout import drift

SPEC = ChunkSpec(frames=4, height=32, width=32, fps=20.0)


class Darkening:
    """Gives every chunk back with each value a thousandth darker than the chunk before."""

    spec = SPEC

    def __init__(self):
        self.reset()

    def reset(self):
        self.chunks = 0

    def realize(self, chunk):
        frames = (chunk.frames * 0.999**self.chunks).round().astype(np.uint8)
        self.chunks += 1
        return dataclasses.replace(chunk, frames=frames)


@pytest.fixture
def clip():
    frames = np.random.default_rng(0).integers(100, 256, (8, 32, 32, 3), np.uint8)
    return Clip(name="clip", seed=1000, facts={}, sim=frames, truth=frames)


def test_an_engine_without_memory_does_not_drift(clip):
    figures = drift(IdentityEngine(SPEC), clip)
    assert figures["seconds"] == pytest.approx(60.0, rel=0.01)
    assert figures["worst_colour_percent"] == figures["worst_contrast_percent"] == 0.0
    assert figures["first_passage_db"] == figures["last_passage_db"]


@pytest.mark.parametrize("first", [1, 3])
def test_a_first_chunk_of_other_length_shifts_all_chunks(clip, first):
    """The same frames are compared, though chunks end anywhere in a passage."""
    spec = dataclasses.replace(SPEC, first_frames=first)
    figures = drift(IdentityEngine(spec), clip)
    assert figures["seconds"] == pytest.approx(60.0, rel=0.01)
    assert figures["worst_colour_percent"] == figures["worst_contrast_percent"] == 0.0
    assert figures["first_passage_db"] == figures["last_passage_db"]
    assert len(realize_frames(IdentityEngine(spec), clip.sim)) == first + 4
    with pytest.raises(PairError, match=f"at least a chunk of {first} frames, got one of 0"):
        realize_frames(IdentityEngine(spec), clip.sim[:0])


def test_what_darkens_drifts_as_far_as_computed(clip):
    """298 chunks after the first: 1 - 0.999^298 = 25.8 %, of the mean and of the contrast."""
    figures = drift(Darkening(), clip)
    passages = figures["chunks"] // 2
    expected = 100 * (1 - 0.999 ** (2 * (passages - 1)))
    assert figures["colour_percent"] == pytest.approx(expected, abs=0.3)
    assert figures["contrast_percent"] == pytest.approx(expected, abs=0.6)
    assert figures["worst_colour_percent"] == figures["colour_percent"]
    assert figures["last_passage_db"] < figures["first_passage_db"] - 10
