"""The size at which a demo runs live: the largest of three whose engine is fast enough."""

import numpy as np
import pytest

from realmaster_live.demo import live_size
from realmaster_live.demo.live_size import SIZES, frames_a_second, live_engine
from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.frames.chunk import ChunkSpec


class Clock:
    """Time that passes only while an engine realizes."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(live_size.time, "perf_counter", lambda: self.now)


class TimedEngine(IdentityEngine):
    """An engine that takes so many seconds a megapixel."""

    def __init__(
        self,
        size,
        clock,
        seconds,
    ):
        width, height = size
        spec = ChunkSpec(frames=4, height=height, width=width, fps=20.0)
        super().__init__(spec)
        self.clock, self.seconds, self.closed, self.seen = clock, seconds, False, []

    def realize(self, chunk):
        self.seen.append(chunk)
        self.clock.now += self.seconds * chunk.frames.size / 3e6
        return super().realize(chunk)

    def close(self):
        self.closed = True


@pytest.mark.parametrize(
    ("seconds", "tried"), [(0.1, SIZES[:1]), (0.2, SIZES[:2]), (0.4, SIZES), (9.0, SIZES)]
)
def test_the_largest_size_that_keeps_up_is_taken(seconds, tried, monkeypatch):
    clock, engines = Clock(monkeypatch), []

    def load(size):
        engines.append(TimedEngine(size, clock, seconds))
        return engines[-1]

    engine, speeds = live_engine(load, 20.0)
    assert engine is engines[-1] and tuple(speeds) == tried
    assert [each.closed for each in engines] == [True] * (len(tried) - 1) + [False]
    width, height = tried[-1]
    assert (engine.spec.width, engine.spec.height) == (width, height)
    assert speeds[width, height] == pytest.approx(1e6 / (seconds * width * height))


def test_the_first_chunk_does_not_count(monkeypatch):
    engine = TimedEngine((64, 32), Clock(monkeypatch), 1.0)
    first = engine.realize

    def cold(chunk):
        engine.clock.now += 60.0 if chunk.index == 0 else 0.0
        return first(chunk)

    engine.realize = cold
    assert frames_a_second(engine) == pytest.approx(1e6 / (64 * 32))
    assert [int(chunk.frame_ids[0]) for chunk in engine.seen] == [0, 4, 8, 12]
    assert np.all(engine.seen[0].frames == 128)


def test_an_engine_that_fails_is_closed():
    class Broken(IdentityEngine):
        closed = False

        def realize(self, chunk):
            raise RuntimeError("broken")

        def close(self):
            self.closed = True

    engine = Broken(ChunkSpec(frames=4, height=32, width=32, fps=20.0))
    with pytest.raises(RuntimeError, match="broken"):
        live_engine(lambda size: engine, 20.0)
    assert engine.closed
