"""Fades between prompts picture by picture: shares of frames, fades within fades, and closing."""

from typing import ClassVar

import numpy as np
import pytest
from street import make_chunk

from realmaster_live import ChunkSpec
from realmaster_live.engines.load import load_engine
from realmaster_live.errors import EngineError
from realmaster_live.fidelity.dissolve import DissolveEngine, dissolving
from realmaster_live.live.wrapper import innermost
from realmaster_live.prompts import Fade, with_prompt

GREY = {"day": 200, "night": 40, "snow": 240}


class Painter:
    """Paints every picture in the grey of its prompt, and counts who is open."""

    open: ClassVar[set] = set()

    def __init__(self, prompt="day"):
        self.spec = ChunkSpec(frames=4, height=8, width=8, fps=20.0)
        self.fade, self.seeds = Fade(prompt), []
        Painter.open.add(self)

    def set_prompt(self, prompt, fade_chunks=0):
        if prompt not in GREY or fade_chunks < 0:
            raise EngineError(f"expected a prompt, got {prompt!r}: another")
        self.fade = Fade(prompt)

    def realize(self, chunk):
        frames = np.full_like(chunk.frames, GREY[self.fade.prompt])
        return with_prompt(chunk.with_frames(frames), self.fade)

    def realize_again(self, chunk, seed):
        self.seeds.append(seed)
        return self.realize(chunk)

    def sibling(self):
        return Painter(self.fade.prompt)

    def reset(self):
        pass

    def close(self):
        Painter.open.discard(self)


@pytest.fixture
def engine():
    Painter.open.clear()
    with_engine = DissolveEngine(Painter())
    yield with_engine
    with_engine.close()
    with_engine.close()
    assert not Painter.open


def greys(engine, chunks=1):
    """Return the grey of each frame of the next chunks, and the weights of the chunks."""
    made = [engine.realize(make_chunk(index, size=(8, 8))) for index in range(chunks)]
    return np.concatenate([m.frames[:, 0, 0, 0] for m in made]), [m.prompt_weight for m in made]


def test_each_frame_of_a_fade_has_a_share_of_its_own(engine):
    engine.set_prompt("night", 3)
    shown, weights = greys(engine, 5)
    assert weights == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0]), "as engines state theirs"
    expected = [*np.linspace(200, 40, 17)[1:], *[40] * 4]
    assert np.abs(shown - np.array(expected)).max() <= 0.5, "no step at a border"
    assert len(Painter.open) == 1, "the earlier one is closed"


def test_a_fade_within_a_fade_begins_at_what_is_shown(engine):
    engine.set_prompt("night", 1)
    shown, _ = greys(engine)
    assert shown[-1] == 120
    engine.set_prompt("snow", 3)
    shown, _ = greys(engine, 4)
    assert abs(int(shown[0]) - 120) <= 8 and shown[-1] == 240
    assert (np.diff(shown.astype(int)) > 0).all()
    for prompt in ("day", "night", "snow", "day"):
        engine.set_prompt(prompt, 4)
        greys(engine)
    assert len(Painter.open) == 3, "no more than two of earlier prompts"


def test_a_switch_and_a_wrong_prompt(engine):
    engine.set_prompt("night", 3)
    greys(engine)
    with pytest.raises(EngineError, match="expected a prompt"):
        engine.set_prompt("fog", 2)
    assert len(Painter.open) == 2
    engine.set_prompt("snow")
    assert greys(engine)[0].tolist() == [240] * 4 and len(Painter.open) == 1


def test_a_chunk_is_realized_again_in_the_same_mixture(engine):
    engine.set_prompt("night", 1)
    chunk = make_chunk(0, size=(8, 8))
    first = engine.realize(chunk)
    again = engine.realize_again(chunk, 7)
    np.testing.assert_array_equal(again.frames, first.frames)
    assert engine.engine.seeds == [7]


def test_only_the_embedded_model_of_one_camera_runs_twice():
    with load_engine(width=64, height=32, threads=1) as engine:
        whole = dissolving(engine)
        assert isinstance(whole, DissolveEngine) and innermost(whole) is engine
        chunk = make_chunk(0, size=(64, 32))
        before = whole.realize(chunk).frames.astype(int)
        whole.set_prompt("night", 1)
        mixed = whole.realize(make_chunk(1, size=(64, 32))).frames.astype(int)
        assert mixed[-1].mean() < mixed[0].mean() < before.mean() + 10
        whole.close()
    identity = load_engine("identity", width=64, height=32)
    assert dissolving(identity) is identity
