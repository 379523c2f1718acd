"""Several cameras through one torch engine, as a batch or as siblings, against separate engines."""

from dataclasses import replace

import numpy as np
import pytest
from street import make_chunk

from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.errors import EngineError
from realmaster_live.protocols import RigEngine, SharingEngine

SIZE = {"width": 96, "height": 64, "threads": 1}
CAMERAS = 3
LEVELS = 1  # how far a picture of a batch may be from that of a separate engine


def noisy(camera, index):
    """A chunk of a camera, whose pictures are its own."""
    chunk = make_chunk(index)
    generator = np.random.default_rng([camera, index])
    frames = generator.integers(0, 256, chunk.frames.shape, np.uint8)
    return replace(chunk, frames=frames, rendered=None)


def rig_of(index):
    return tuple(noisy(camera, index) for camera in range(CAMERAS))


def apart(a, b):
    return np.abs(a.frames.astype(int) - b.frames.astype(int))


def test_a_batch_makes_the_pictures_of_separate_engines(tiny_checkpoint):
    """Over chunks that fill the ring, a fade to another prompt, and a reset."""
    separate = [TorchEngine(tiny_checkpoint, **SIZE) for _ in range(CAMERAS)]
    together = TorchEngine(tiny_checkpoint, cameras=CAMERAS, **SIZE)
    assert isinstance(together, RigEngine) and together.cameras == CAMERAS
    assert "3 cameras in one batch" in repr(together)
    for index in range(6):
        if index == 2:
            for engine in (*separate, together):
                engine.set_prompt("rain", fade_chunks=1)
                engine.set_seed(5)
        if index == 5:
            for engine in (*separate, together):
                engine.reset()
        chunks = rig_of(index)
        expected = [engine.realize(chunk) for engine, chunk in zip(separate, chunks, strict=True)]
        got = together.realize_together(chunks)
        for one, other, chunk in zip(got, expected, chunks, strict=True):
            assert apart(one, other).max() <= LEVELS
            assert apart(one, other).mean() < 0.01
            assert one.rendered is chunk.frames
            assert (one.prompt, one.prompt_weight, one.seed) == (
                other.prompt,
                other.prompt_weight,
                other.seed,
            )
        assert apart(got[0], got[1]).mean() > 1  # each camera has pictures of its own


def test_siblings_share_the_networks_and_nothing_else(tiny_checkpoint):
    alone = TorchEngine(tiny_checkpoint, **SIZE)
    first = TorchEngine(tiny_checkpoint, **SIZE)
    first.realize(noisy(9, 0))
    assert isinstance(first, SharingEngine)
    second = first.sibling()
    weights = [
        {x.data_ptr() for x in engine._stages.experts[0].transformer.parameters()}
        for engine in (first, second, alone)
    ]
    assert weights[0] == weights[1] and not weights[0] & weights[2]
    first.reset()
    for index in range(3):
        expected = alone.realize(noisy(0, index)).frames
        assert np.array_equal(first.realize(noisy(0, index)).frames, expected)
        second.realize(noisy(1, index))
    first.set_prompt("rain")
    assert first.realize(noisy(0, 3)).prompt == "rain"
    assert second.realize(noisy(1, 3)).prompt == "as simulated"
    first.close()
    second.reset()
    alone.reset()
    again = second.realize(noisy(0, 0)).frames
    assert np.array_equal(again, alone.realize(noisy(0, 0)).frames)
    with pytest.raises(EngineError, match="got a closed one"):
        first.sibling()


def test_the_sibling_of_a_batch_is_a_batch_and_shows_its_prompt(tiny_checkpoint):
    with TorchEngine(tiny_checkpoint, cameras=2, prompt="rain", **SIZE) as engine:
        sibling = engine.sibling()
        chunks = rig_of(0)[:2]
        for one, other in zip(
            engine.realize_together(chunks), sibling.realize_together(chunks), strict=True
        ):
            assert np.array_equal(one.frames, other.frames)
            assert one.prompt == other.prompt == "rain"


def test_a_batch_refuses_what_is_not_a_chunk_of_each_camera(tiny_checkpoint):
    with pytest.raises(EngineError, match="1 camera or more, got 0"):
        TorchEngine(tiny_checkpoint, cameras=0, **SIZE)
    with TorchEngine(tiny_checkpoint, cameras=CAMERAS, **SIZE) as engine:
        chunks = rig_of(0)
        with pytest.raises(EngineError, match=r"of each of 3 cameras, got 2 \(.*\): give"):
            engine.realize_together(chunks[:2])
        with pytest.raises(EngineError, match="of each of 3 cameras, got 1"):
            engine.realize(chunks[0])
        for other in (
            chunks[2].last(2),
            replace(chunks[2], frames=chunks[2].frames[:, :32], labels={}),
        ):
            with pytest.raises(EngineError, match=r"one size and length, got .* make an engine"):
                engine.realize_together((*chunks[:2], other))
        engine.realize_together(chunks)  # none of that left a trace
        with pytest.raises(EngineError, match="of each of 3 cameras, got 1"):
            engine.realize_again(chunks[0], 7)
