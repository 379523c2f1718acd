"""Engines for the cameras of a rig: loaded once for a size, by name."""

import json
import subprocess
import sys

import numpy as np
import pytest
from street import make_chunk

from realmaster_live.engines.cameras import close_engines, load_engines
from realmaster_live.engines.load import load_engine
from realmaster_live.engines.siblings import SiblingRig
from realmaster_live.errors import ConfigError, EngineError
from realmaster_live.live.wrapper import EngineWrapper
from realmaster_live.protocols import RigEngine

CAMERAS = 3
SIZE = (96, 64)


def noisy(camera, index):
    chunk = make_chunk(index)
    shape = chunk.frames.shape
    return chunk.with_frames(
        np.random.default_rng([camera, index]).integers(0, 256, shape, np.uint8)
    )


@pytest.mark.parametrize("at_once", [1, 2])
def test_siblings_make_the_pictures_of_separate_engines(tiny_model, at_once):
    """The same bits, one after the other and at the same time, under one prompt for all."""
    options = {"width": SIZE[0], "height": SIZE[1], "threads": 1}
    separate = [load_engine(str(tiny_model), **options) for _ in range(CAMERAS)]
    with SiblingRig(load_engine(str(tiny_model), **options), CAMERAS, at_once=at_once) as rig:
        assert isinstance(rig, RigEngine)
        assert rig.spec == separate[0].spec and rig.manifest == separate[0].manifest
        assert len({id(engine._sessions) for engine in rig.engines}) == 1
        for index in range(4):
            if index == 2:
                for engine in (*separate, rig):
                    engine.set_prompt("rain")
                    engine.set_seed(5)
            if index == 3:
                for engine in (*separate, rig):
                    engine.reset()
            chunks = tuple(noisy(camera, index) for camera in range(CAMERAS))
            got = rig.realize_together(chunks)
            for one, engine, chunk in zip(got, separate, chunks, strict=True):
                expected = engine.realize(chunk)
                assert np.array_equal(one.frames, expected.frames)
                assert (one.prompt, one.seed) == (expected.prompt, expected.seed)
        with pytest.raises(EngineError, match="a chunk of each of 3 cameras, got 1"):
            rig.realize(chunks[0])
        with pytest.raises(
            EngineError, match=r"got \(4, 64, 96, 3\) of front and \(2, 64, 96, 3\)"
        ):
            rig.realize_together((*chunks[:2], chunks[2].last(2)))
    rig.close()


MEMORY = """
import json, os
from pathlib import Path
from realmaster_live.engines.load import load_engine
from realmaster_live.engines.program.rehearsal import noise_chunk
from realmaster_live.engines.siblings import SiblingRig

def resident():
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")

load_engine("embedded", width=64, height=64, threads=1).close()  # the libraries' own
taken, start = [], resident()
engine = load_engine("embedded", width=384, height=224, threads=1)
chunk = noise_chunk(engine.spec, 0)
for _ in range(3):
    engine.realize(chunk)
    taken.append(resident() - start)
rig = SiblingRig(engine, 6)
for _ in range(3):
    rig.realize_together((chunk,) * 6)
taken.append(resident() - start)
rig.close()
del rig, engine

start = resident()
rig = load_engine("embedded", width=384, height=224, threads=2, cameras=6)
assert rig.at_once == 2
for _ in range(3):
    rig.realize_together((chunk,) * 6)
print(json.dumps([*taken, resident() - start]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_six_cameras_take_little_more_memory_than_one():
    """All graphs and cameras use the same memory again; only what a camera remembers adds up.

    Of two cameras at a time only one decodes, which takes most of the memory.
    """
    command = [sys.executable, "-c", MEMORY]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    first, _, third, six, two_at_a_time = json.loads(answer)
    assert third < 1.15 * first
    assert six < 1.7 * first
    assert two_at_a_time < 1.9 * first


def test_what_runs_where_is_said(tiny_model, tiny_checkpoint):
    size = {"width": SIZE[0], "height": SIZE[1]}
    with load_engine(str(tiny_model), cameras=4, threads=2, **size) as rig:
        assert "4 cameras, 2 at a time, through OnnxEngine(" in repr(rig)
    with load_engine("identity", cameras=2, **size) as rig:
        assert isinstance(rig, RigEngine) and rig.cameras == 2
        chunks = make_chunk(0), make_chunk(1)
        for one, chunk in zip(rig.realize_together(chunks), chunks, strict=True):
            assert np.array_equal(one.frames, chunk.frames)
    with load_engine(str(tiny_checkpoint), cameras=2, threads=1, **size) as rig:
        assert rig.cameras == 2 and isinstance(rig, RigEngine)
    with pytest.raises(ConfigError, match=r"expected live chunks with --cameras"):
        load_engine(str(tiny_checkpoint), cameras=2, guidance=5.0, **size)


def test_cameras_of_one_size_have_one_engine(tiny_model):
    sizes = {"front": SIZE, "back": (64, 32), "left": SIZE}
    engines = load_engines(str(tiny_model), sizes, threads=1)
    assert list(engines) == list(sizes)
    assert engines["front"] is engines["left"] is not engines["back"]
    assert engines["front"].cameras == 2
    assert (engines["back"].spec.width, engines["back"].spec.height) == (64, 32)
    close_engines(engines)
    with pytest.raises(EngineError, match="got a closed one"):
        engines["back"].realize(make_chunk(0, size=(64, 32)))


def test_spare_cameras_are_apart_from_the_rig(tiny_model):
    sizes = {"front": SIZE, "back": SIZE, "left": SIZE, "right": SIZE}
    engines = load_engines(str(tiny_model), sizes, threads=1, spare=["left", "right"])
    assert list(engines) == list(sizes)
    assert engines["front"] is engines["back"] and engines["front"].cameras == 2
    assert len({id(one) for one in engines.values()}) == 3
    weights = {id(engines["left"]._sessions), id(engines["right"]._sessions)}
    assert weights == {id(engines["front"].engines[0]._sessions)}
    close_engines(engines)


def test_apart_they_have_an_engine_each_that_share_the_weights(tiny_model):
    engines = load_engines(
        str(tiny_model),
        {"front": SIZE, "left": SIZE},
        together=False,
        wrap=EngineWrapper,
        threads=1,
    )
    inner = [engine.engine for engine in engines.values()]
    assert inner[0] is not inner[1] and inner[0]._sessions is inner[1]._sessions
    close_engines(engines)


def test_what_was_opened_is_closed_if_another_fails():
    closed = []

    class Wrapped(EngineWrapper):
        def close(self):
            closed.append(self.spec.width)
            super().close()

    def wrap(engine):
        if engine.spec.width == 32:
            raise ConfigError("expected a wider one")
        return Wrapped(engine)

    with pytest.raises(ConfigError, match="a wider one"):
        load_engines("identity", {"a": (64, 32), "b": (32, 32)}, wrap=wrap)
    assert closed == [64]
