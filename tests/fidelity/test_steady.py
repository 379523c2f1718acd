"""The steady engine: less pulse at chunk borders, no lag, and the engine's own protocols."""

from dataclasses import replace

import numpy as np
import pytest
from driven_scene import FPS, SIZE, driven_chunk

from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.steady import KEEP, SteadyEngine, steadied
from realmaster_live.frames.chunk import ChunkSpec

SPEC = ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=FPS)


class Pulsing:
    """Adds another brightness to every chunk, as a network does that guesses the light anew."""

    spec, cameras = SPEC, 2

    def __init__(self, swing=8):
        self.swing, self.count, self.resets = swing, 0, 0

    def _answer(self, chunk, sign):
        lighter = chunk.frames.astype(int) * 3 // 4 + 30 + sign * self.swing
        return replace(
            chunk.with_frames(lighter.clip(0, 255).astype(np.uint8)), rendered=chunk.frames
        )

    def realize(self, chunk):
        self.count += 1
        return self._answer(chunk, (-1) ** self.count)

    def realize_again(self, chunk, seed):
        return self._answer(chunk, 1 if seed % 2 else -1)

    def realize_together(self, chunks):
        return tuple(map(self.realize, chunks))

    def set_prompt(self, prompt, fade_chunks=0):
        pass

    def reset(self):
        self.resets += 1

    def close(self):
        pass


def captured(index, camera="front", **options):
    chunk = driven_chunk(index, camera, **options)
    return replace(chunk, frames=chunk.rendered, rendered=None, seed=index)


def steps(chunks):
    """Return the change of mean brightness beyond the render's at borders and inside chunks."""
    means = np.concatenate([(c.frames.astype(float) - c.rendered).mean((1, 2, 3)) for c in chunks])
    change = np.abs(np.diff(means))
    border = np.arange(1, len(means)) % 4 == 0
    return change[border].mean(), change[~border].mean()


def test_the_pulse_at_chunk_borders_goes():
    plain, steady = Pulsing(), SteadyEngine(Pulsing())
    chunks = [captured(index) for index in range(8)]
    as_made, _ = steps([plain.realize(chunk) for chunk in chunks])
    border, inside = steps([steady.realize(chunk) for chunk in chunks])
    assert as_made > 14 and border < 0.35 * as_made
    assert inside > 0.5, "what is left is spread over the frames"


def test_a_steady_engine_stays_as_it_is():
    """What is averaged along the motion is the addition, so an even one changes little."""
    steady, plain = SteadyEngine(Pulsing(swing=0)), Pulsing(swing=0)
    for index in range(4):
        found, expected = (
            engine.realize(captured(index)).frames.astype(int) for engine in (steady, plain)
        )
        assert np.abs(found - expected).mean() < 0.8
        assert np.percentile(np.abs(found - expected), 99) <= 8


def test_where_the_render_changes_nothing_is_kept():
    steady, lamp = SteadyEngine(Pulsing()), np.s_[:, 20:30, 30:40]
    first = captured(0, labels=("depth",))
    still = replace(
        first, cam_to_world=np.tile(first.cam_to_world[:1], (4, 1, 1)),
        frames=np.repeat(first.frames[:1], 4, 0),
        labels={"depth": np.repeat(first.labels["depth"][:1], 4, 0)}, objects=(),
    )  # fmt: skip
    red, green = still.frames.copy(), still.frames.copy()
    red[lamp], green[lamp] = (200, 20, 20), (20, 200, 20)
    steady.realize(replace(still, frames=red))
    found = steady.realize(replace(still, frames=green, index=1)).frames[0]
    alone = Pulsing()
    alone.count = 1
    expected = alone.realize(replace(still, frames=green)).frames[0]
    middle = np.s_[24:26, 34:36]  # further inside than the blur reaches
    np.testing.assert_array_equal(found[middle], expected[middle])
    assert np.abs(found[60:].astype(int) - expected[60:]).mean() > 5, "elsewhere it is averaged"


def test_without_depth_and_flow_or_with_keep_zero_nothing_changes():
    for steady, labels in (
        (SteadyEngine(Pulsing()), ("semantic",)),
        (SteadyEngine(Pulsing(), keep=0), None),
    ):
        plain = Pulsing()
        for index in range(3):
            chunk = captured(index, labels=labels)
            np.testing.assert_array_equal(steady.realize(chunk).frames, plain.realize(chunk).frames)


def test_a_gap_a_reset_and_another_size_begin_anew():
    def first_answer(between):
        steady = SteadyEngine(Pulsing())
        for index in range(3):
            steady.realize(captured(index))
        chunk = between(steady, captured(3))
        plain = Pulsing()
        plain.count = 3
        return steady.realize(chunk).frames[0], plain.realize(chunk).frames[0]

    def reset(steady, chunk):
        steady.reset()
        return chunk

    np.testing.assert_array_equal(*first_answer(reset))
    np.testing.assert_array_equal(
        *first_answer(lambda steady, chunk: replace(chunk, dropped_before=2))
    )
    found, plain = first_answer(lambda steady, chunk: chunk)
    assert not np.array_equal(found, plain)
    np.testing.assert_array_equal(*first_answer(lambda steady, chunk: captured(3, size=(80, 48))))


def test_another_attempt_has_the_same_past():
    steady = SteadyEngine(Pulsing())
    steady.realize(captured(0))
    steady.realize(captured(1))
    again = [steady.realize_again(captured(1), seed).frames for seed in (1, 0, 1)]
    np.testing.assert_array_equal(again[0], again[2])
    assert not np.array_equal(again[0], again[1])


def test_cameras_have_pasts_of_their_own():
    together, alone = SteadyEngine(Pulsing(swing=0)), SteadyEngine(Pulsing(swing=0))
    for index in range(2):
        chunks = tuple(captured(index, camera) for camera in ("front", "back"))
        front, back = together.realize_together(chunks)
        np.testing.assert_array_equal(front.frames, alone.realize(chunks[0]).frames)
    assert (front.camera, back.camera) == ("front", "back")


@pytest.mark.parametrize("keep", [-0.1, 1, float("nan")])
def test_keep_is_a_share(keep):
    with pytest.raises(ConfigError, match="expected keep from 0 to below 1"):
        SteadyEngine(Pulsing(), keep=keep)


def test_the_embedded_model_is_steadied_unless_told_otherwise():
    named, other = Pulsing(), Pulsing()
    named.name, other.name = "embedded", "a/folder"
    assert isinstance(steadied(named), SteadyEngine) and steadied(named).keep == KEEP
    assert steadied(named, 0) is named
    assert steadied(other) is other
    assert steadied(other, 0.5).keep == 0.5
