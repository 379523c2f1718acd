"""Engines give a model the labels and the light that a chunk's simulator knows."""

from dataclasses import replace

import numpy as np
import pytest

from realmaster_live.engines.guides import guides_of, light_at
from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.engines.program.rehearsal import noise_chunk
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.engines.torch.quality import QualityEngine
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.model.light_guide import LIGHTS
from realmaster_live.model.profile import TINY

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
    short, whole = (guides_of(each, TINY, 4)["geometry"] for each in (chunk.last(2), chunk))
    assert np.array_equal(short[2:], whole[2:])
    assert np.array_equal(short[0], whole[2])
    assert np.array_equal(short[1], whole[2])


def in_weather(chunk, *weathers):
    """The chunk with one weather for each frame, or one for all."""
    each = weathers if len(weathers) > 1 else weathers * len(chunk)
    return replace(chunk, sources=tuple(SourceInfo(weather=one) for one in each))


LOW = {"sun_azimuth_angle": 20.0, "sun_altitude_angle": 5.0}
HIGH = {"sun_azimuth_angle": 200.0, "sun_altitude_angle": 70.0}


@pytest.mark.parametrize("name", ["onnx", "torch"])
def test_the_sun_of_the_last_frame_counts_and_none_is_needed(name, tiny_model, tiny_checkpoint):
    with engine_of(name, tiny_model, tiny_checkpoint) as engine:
        chunk = replace(noise_chunk(engine.spec, 0), sources=())

        def made(each):
            engine.reset()
            return engine.realize(each).frames

        unknown = made(chunk)
        low, high = (made(in_weather(chunk, each)) for each in (LOW, HIGH))
        later = made(in_weather(chunk, LOW, LOW, LOW, HIGH))
        poses = np.stack([*chunk.cam_to_world[:3], chunk.cam_to_world[0]])
        turned = made(replace(in_weather(chunk, LOW), cam_to_world=poses))
        still = made(replace(in_weather(chunk, LOW), cam_to_world=poses[[0, 0, 0, 0]]))
        words, other = (made(in_weather(chunk, each)) for each in ("night rain", {"wetness": 80.0}))
    for one, two in ((low, unknown), (high, unknown), (low, high)):
        assert np.abs(one.astype(int) - two).max() > 3 * LEVELS
    assert np.array_equal(later, high)
    assert np.array_equal(turned, still) and not np.array_equal(turned, low)
    assert np.array_equal(words, unknown) and np.array_equal(other, unknown)


def test_a_chunk_without_light_forgets_that_before(tiny_model, tiny_checkpoint):
    made = []
    for name in ("onnx", "torch"):
        with engine_of(name, tiny_model, tiny_checkpoint) as engine:
            chunks = [noise_chunk(engine.spec, index) for index in range(3)]
            chunks[1] = replace(chunks[1], sources=())
            made.append(np.stack([engine.realize(chunk).frames for chunk in chunks]).astype(int))
    assert np.abs(made[0] - made[1]).max() <= LEVELS


def test_cameras_of_one_batch_have_their_own_sun(tiny_model, tiny_checkpoint):
    with engine_of("torch", tiny_model, tiny_checkpoint, cameras=2) as rig:
        chunks = [in_weather(noise_chunk(rig.spec, 0), weather) for weather in (LOW, HIGH)]
        together = [chunk.frames.astype(int) for chunk in rig.realize_together(tuple(chunks))]
    for chunk, got in zip(chunks, together, strict=True):
        with engine_of("torch", tiny_model, tiny_checkpoint) as engine:
            assert np.abs(engine.realize(chunk).frames - got).max() <= 1


def test_each_latent_of_a_whole_clip_has_the_sun_of_its_last_frame(tiny_checkpoint):
    with QualityEngine(tiny_checkpoint, **SIZE, clip=8, guidance=1.0, threads=1) as engine:
        chunk = noise_chunk(engine.spec, 0)
        made = {
            name: engine.realize(in_weather(chunk, *weathers)).frames
            for name, weathers in {
                "low": (LOW,) * 8,
                "later": (LOW,) * 7 + (HIGH,),
                "turned": (HIGH,) * 3 + (LOW,) * 5,
            }.items()
        }
    assert not np.array_equal(made["low"], made["later"])
    assert np.array_equal(made["low"], made["turned"])


def test_light_has_the_grid_of_the_latents(tiny_model):
    with OnnxEngine(tiny_model, **SIZE, threads=1) as engine:
        chunk = noise_chunk(engine.spec, 0)
    light = guides_of(chunk, TINY, 4)["light"]
    assert light.shape == (1, len(LIGHTS), 4, 6) and light.dtype == np.float32
    assert np.array_equal(light[0], light_at(chunk, 3, 16))
    assert light_at(replace(chunk, sources=()), -1, 16).shape == light.shape[1:]
    assert guides_of(chunk, replace(TINY, light=False, geometry=False), 4) == {}
