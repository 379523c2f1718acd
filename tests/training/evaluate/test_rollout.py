import dataclasses

import numpy as np
import pytest

from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import PairError
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.training.data import Clip
from realmaster_live.training.evaluate import rollout
from realmaster_live.training.evaluate.pictures import realize_frames
from realmaster_live.training.evaluate.rollout import RolloutFile, drift, drift_plot

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
    curve = figures["curve"]
    assert curve["seconds"][:2] == pytest.approx([0.4, 1.2]) and not any(curve["colour_percent"])
    assert drift_plot(curve).count("<polyline") == 2
    assert figures["percent_a_minute"] == pytest.approx(0.0, abs=1e-9)
    assert figures["palette_drift"] == pytest.approx(0.0, abs=1e-9)
    assert figures["first_flicker_ratio"] == pytest.approx(1.0)
    assert figures["last_flicker_ratio"] == pytest.approx(1.0)
    assert figures["first_memory_mib"] > 10


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


def test_a_trend_and_the_palettes_are_those_computed_by_hand(clip):
    """Passage 2 n begins with chunk 4 n; both of its chunks count half."""
    figures = drift(Darkening(), clip)
    number = np.arange(len(figures["curve"]["seconds"]))
    means = 0.999 ** (4 * number) * (1 + 0.999) / 2
    minutes = np.array(figures["curve"]["seconds"]) / 60
    expected = np.polyfit(minutes, 100 * means / means.mean(), 1)[0]
    assert figures["percent_a_minute"] == pytest.approx(expected, abs=0.1)
    low, high = (figures[f"percent_a_minute_{end}"] for end in ("low", "high"))
    assert low < figures["percent_a_minute"] < high < 0
    assert figures["palette_drift"] > 3, "L* falls by a fifth"


class Jumping(IdentityEngine):
    """Makes every other chunk brighter: no change inside of chunks, one at each border."""

    def realize(self, chunk):
        return dataclasses.replace(chunk, frames=chunk.frames + np.uint8(20 * (chunk.index % 2)))


def test_flicker_and_seams_are_told_apart():
    ramp = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.uint8(10)
    frames = np.broadcast_to(ramp, (8, 32, 32, 3)).copy()
    clip = Clip(name="ramp", seed=1000, facts={}, sim=frames, truth=frames)
    plain, jumping = drift(IdentityEngine(SPEC), clip), drift(Jumping(SPEC), clip)
    for part in ("first", "last"):
        assert plain[f"{part}_seam_ratio"] == pytest.approx(1.0)
        assert jumping[f"{part}_flicker_ratio"] == pytest.approx(1.0)
        assert jumping[f"{part}_seam_ratio"] == pytest.approx(3.0), "10 levels, 20 more across"


def without_memory(figures):
    return {name: value for name, value in figures.items() if "memory" not in name}


class Remembering(Darkening):
    """The same, with a memory that can be stored; stops after some chunks where it is told to."""

    def __init__(self, most=None):
        super().__init__()
        self.most = most

    def realize(self, chunk):
        if self.chunks == self.most:
            raise KeyboardInterrupt
        return super().realize(chunk)

    def memory(self):
        return {"chunks": np.array(self.chunks)}

    def recall(self, memory):
        self.chunks = int(memory["chunks"])


def test_a_rollout_that_was_stopped_goes_on_with_the_engines_memory(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(rollout, "KEEP_EVERY_S", 0.0)
    stored = RolloutFile(path=tmp_path / "out" / "rollout.npz", key="engine, clip, 60 s")
    with pytest.raises(KeyboardInterrupt):
        drift(Remembering(most=101), clip, file=stored)
    engine = Remembering()
    whole = drift(Darkening(), clip)
    found = drift(engine, clip, file=stored)
    assert without_memory(found) == without_memory(whole)
    assert engine.chunks == whole["chunks"]
    again = Remembering(most=whole["chunks"])  # it has nothing left to realize
    assert without_memory(drift(again, clip, file=stored)) == without_memory(whole)
    with pytest.raises(KeyboardInterrupt):  # another rollout begins anew
        drift(Remembering(most=0), clip, file=dataclasses.replace(stored, key="another engine"))
    without = RolloutFile(path=tmp_path / "none.npz", key="")
    unstored = drift(Darkening(), clip, file=without)
    assert without_memory(unstored) == without_memory(whole) and not without.path.exists()
