"""A locked class keeps the render's colours, whatever an engine does to it."""

from dataclasses import replace

import numpy as np
import pytest

from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.lights import read_state
from realmaster_live.fidelity.lock import LOCKED, SafetyLock
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.protocols import Engine, PromptedEngine, RetryingEngine

NUMBERS = [CLASS_IDS[name] for name in LOCKED]


class Painter:
    """An engine that answers with the frames it was given."""

    def __init__(self, *answers):
        self.answers = list(answers)

    spec = None

    def realize(self, chunk):
        return chunk.with_frames(self.answers[chunk.index])

    def reset(self):
        pass

    def close(self):
        pass


def swapping(chunks):
    """Return realized frames in which every traffic light shows red for green."""
    answers = []
    for chunk in chunks:
        frames = chunk.frames.copy()
        lights = chunk.labels["semantic"] == CLASS_IDS["traffic_light"]
        frames[lights] = frames[lights][:, [1, 0, 2]]
        answers.append(frames)
    return answers


def states(chunk, frames):
    """Return (rendered, shown) states of every light that the render shows."""
    found = []
    for index, frame in enumerate(frames):
        things = chunk.labels["instance"][index]
        for number in np.unique(things[chunk.labels["semantic"][index] == 7]):
            mask = (things == number) & (number > 0)
            state = read_state(chunk.frames[index][mask])
            if state:
                found.append((state, read_state(frame[mask])))
    return found


def test_a_light_can_never_flip(town_drive, realized):
    answers = swapping(realized)
    lock = SafetyLock(Painter(*answers))
    before, after = [], []
    for chunk, answer in zip(town_drive.chunks, answers, strict=True):
        before += states(chunk, answer)
        after += states(chunk, lock.realize(chunk).frames)
    assert len(after) >= 8
    assert not any(drawn == shown for drawn, shown in before)
    assert all(drawn == shown for drawn, shown in after)


def test_noise_cannot_flip_a_light_either(town_drive):
    rng = np.random.default_rng(0)
    answers = [rng.integers(0, 256, chunk.frames.shape, np.uint8) for chunk in town_drive.chunks]
    lock = SafetyLock(Painter(*answers))
    for chunk in town_drive.chunks:
        pairs = states(chunk, lock.realize(chunk).frames)
        assert pairs and all(drawn == shown for drawn, shown in pairs)


def test_other_pixels_are_untouched_bit_for_bit(town_drive, realized):
    lock = SafetyLock(Painter(*(chunk.frames for chunk in realized)))
    for chunk, whole in zip(town_drive.chunks, realized, strict=True):
        kept = whole.frames.copy()
        locked = lock.realize(chunk)
        mask = np.isin(chunk.labels["semantic"], NUMBERS)
        assert mask.any() and not mask.all()
        assert np.array_equal(locked.frames[~mask], whole.frames[~mask])
        assert not np.array_equal(locked.frames[mask], whole.frames[mask])
        assert np.array_equal(whole.frames, kept)
        assert locked.rendered is chunk.frames


def test_paint_keeps_its_hue_and_stands_out_as_in_the_render(town_drive, realized):
    """White lines that an engine painted yellow, and lines that it painted over."""
    chunk, whole = town_drive.chunks[0], realized[0]
    lines = chunk.labels["semantic"] == CLASS_IDS["road_line"]
    road = chunk.labels["semantic"] == CLASS_IDS["road"]
    for colour in ((250, 200, 20), (60, 60, 60)):
        frames = whole.frames.copy()
        frames[lines] = colour
        locked = SafetyLock(Painter(frames)).realize(chunk).frames.astype(float)
        tint = locked[lines].max(-1) - locked[lines].min(-1)
        drawn = chunk.frames[lines].astype(float)
        assert tint.mean() < 2 * (drawn.max(-1) - drawn.min(-1)).mean() + 2
        contrast = locked[lines].mean() / locked[road].mean()
        assert contrast > 0.6 * drawn.mean() / chunk.frames[road].mean()


def test_ordinary_paint_hardly_changes(town_drive, realized):
    """No halo: where the engine is right, the lock agrees with it."""
    locked = SafetyLock(Painter(*(c.frames for c in realized))).realize(town_drive.chunks[0])
    lines = town_drive.chunks[0].labels["semantic"] == CLASS_IDS["road_line"]
    grey = [x[lines].astype(float).mean(-1) for x in (locked.frames, realized[0].frames)]
    difference = np.abs(grey[0] - grey[1])
    assert np.median(difference) < 4 and np.quantile(difference, 0.95) < 30


def test_the_instance_label_will_do(town_drive, realized):
    chunk = town_drive.chunks[0]
    things = replace(chunk, labels={"instance": chunk.labels["instance"]})
    locked = SafetyLock(Painter(*swapping(realized))).realize(things)
    pairs = states(chunk, locked.frames)
    assert pairs and all(drawn == shown for drawn, shown in pairs)


def test_refuses_what_it_cannot_do(town_drive):
    chunk = town_drive.chunks[0]
    engine = IdentityEngine(chunk_spec(chunk))
    with pytest.raises(ConfigError, match=r"classes among unlabeled.*got lamp"):
        SafetyLock(engine, classes=("lamp",))
    with pytest.raises(ConfigError, match="got none: the lock is meant for traffic_light"):
        SafetyLock(engine, classes=())
    lock = SafetyLock(engine)
    with pytest.raises(ConfigError, match=r"label semantic or instance.*got depth: capture"):
        lock.realize(replace(chunk, labels={"depth": chunk.labels["depth"]}))
    with pytest.raises(ConfigError, match="again, got IdentityEngine: leave 'retry' out"):
        lock.realize_again(chunk, 1)


def test_is_an_engine_like_the_one_inside(town_drive):
    engine = IdentityEngine(chunk_spec(town_drive.chunks[0]))
    lock = SafetyLock(engine)
    assert all(isinstance(lock, kind) for kind in (Engine, PromptedEngine, RetryingEngine))
    assert lock.spec == engine.spec
    lock.set_prompt("as simulated")
    lock.reset()
    lock.close()
    lock.close()
    with pytest.raises(ConfigError, match="takes prompts, got Painter: leave the prompt 'rain'"):
        SafetyLock(Painter()).set_prompt("rain")


def chunk_spec(chunk):
    from realmaster_live.frames.chunk import ChunkSpec

    return ChunkSpec(frames=4, height=chunk.frames.shape[1], width=chunk.frames.shape[2], fps=20.0)
