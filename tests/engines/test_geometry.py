"""Engines give the labels of a chunk to a decoder that is guided by them."""

from dataclasses import replace

import numpy as np
import pytest

from realmaster_live.engines.geometry import padded_geometry
from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.engines.program.rehearsal import noise_chunk
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.engines.torch.quality import QualityEngine

SIZE = {"width": 96, "height": 64}
LEVELS = 2  # how far two engines may be apart: an export rounds its weights


def engine_of(name, tiny_model, tiny_checkpoint, **options):
    if name == "onnx":
        return OnnxEngine(tiny_model, **SIZE, threads=1)
    return TorchEngine(tiny_checkpoint, **SIZE, threads=1, **options)


@pytest.mark.parametrize("name", ["onnx", "torch"])
def test_each_label_counts_and_none_is_needed(name, tiny_model, tiny_checkpoint):
    with engine_of(name, tiny_model, tiny_checkpoint) as engine:
        chunk = noise_chunk(engine.spec, 0)
        made = {}
        for names in ((), ("depth",), ("semantic",), ("depth", "semantic")):
            engine.reset()
            labels = {each: chunk.labels[each] for each in names}
            made[names] = engine.realize(replace(chunk, labels=labels)).frames
        engine.reset()
        odd = {"instance": np.zeros(chunk.frames.shape[:3], np.int32)}
        unknown = engine.realize(replace(chunk, labels=odd)).frames
    assert np.array_equal(unknown, made[()])
    pictures = list(made.values())
    for index, one in enumerate(pictures):
        for other in pictures[index + 1 :]:
            assert not np.array_equal(one, other)


def test_engines_agree_and_a_chunk_without_labels_forgets_those_before(tiny_model, tiny_checkpoint):
    made = []
    for name in ("onnx", "torch"):
        with engine_of(name, tiny_model, tiny_checkpoint) as engine:
            chunks = [noise_chunk(engine.spec, index) for index in range(3)]
            chunks[1] = replace(chunks[1], labels={})
            made.append(np.stack([engine.realize(chunk).frames for chunk in chunks]).astype(int))
    assert np.abs(made[0] - made[1]).max() <= LEVELS


def test_cameras_of_one_batch_have_their_own_labels(tiny_model, tiny_checkpoint):
    with engine_of("torch", tiny_model, tiny_checkpoint, cameras=2) as rig:
        first, other = (noise_chunk(rig.spec, index) for index in (0, 1))
        second = replace(first, labels=other.labels)
        together = [chunk.frames.astype(int) for chunk in rig.realize_together((first, second))]
    for chunk, got in zip((first, second), together, strict=True):
        with engine_of("torch", tiny_model, tiny_checkpoint) as engine:
            assert np.abs(engine.realize(chunk).frames - got).max() <= 1


def test_a_whole_clip_is_guided_too(tiny_checkpoint):
    with QualityEngine(tiny_checkpoint, **SIZE, clip=8, guidance=1.0, threads=1) as engine:
        chunk = noise_chunk(engine.spec, 0)
        told = engine.realize(chunk).frames
        untold = engine.realize(replace(chunk, labels={})).frames
    assert not np.array_equal(told[:4], untold[:4])
    assert not np.array_equal(told[4:], untold[4:])


def test_labels_of_a_short_first_chunk_are_repeated(tiny_model):
    with OnnxEngine(tiny_model, **SIZE, threads=1) as engine:
        chunk = noise_chunk(engine.spec, 0)
    short = padded_geometry(chunk.last(2), 4)
    whole = padded_geometry(chunk, 4)
    assert np.array_equal(short[2:], whole[2:])
    assert np.array_equal(short[0], whole[2])
    assert np.array_equal(short[1], whole[2])
