"""Profiles of two experts, which share the noise levels: each keeps its own keys and values."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from street import make_chunk

from realmaster_live.engines.export.export import export
from realmaster_live.engines.guides import guides_of
from realmaster_live.engines.load import load_engine
from realmaster_live.engines.noise import ChunkNoise
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.errors import BuildError, EngineError
from realmaster_live.model.cache import RingCache
from realmaster_live.model.checkpoint import save_checkpoint
from realmaster_live.model.in_context import rope_at
from realmaster_live.model.lora import attach
from realmaster_live.model.lora_facts import LoraFacts
from realmaster_live.model.lora_files import save
from realmaster_live.model.profile import TINY
from realmaster_live.model.random_weights import random_networks
from realmaster_live.model.sampling import euler_step, sigmas
from realmaster_live.model.vae import to_bytes, to_cells

TWO = replace(
    TINY, name="tiny-two", experts=2, expert_boundary=0.875, ring=2, sink=1, steps=4
)  # fmt: skip
ROWS, COLUMNS, CHUNKS = 2, 3, 6  # chunks: sink and ring are full after three
SIZE = {"width": 32 * COLUMNS, "height": 32 * ROWS, "threads": 1}


def noisy(index):
    chunk = make_chunk(index)
    shape = chunk.frames.shape
    return chunk.with_frames(np.random.default_rng(index).integers(0, 256, shape, np.uint8))


def pictures(engine, chunks=CHUNKS):
    engine.reset()
    return [engine.realize(noisy(index)).frames for index in range(chunks)]


def equal(a, b):
    return [np.array_equal(x, y) for x, y in zip(a, b, strict=True)]


def networks(profile=TWO):
    return random_networks(profile, torch.device("cpu"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    save_checkpoint(folder, *networks())
    return folder


@torch.inference_mode()
def rollout(profile, steps, prompt):
    """The frames and latents of a rollout that is written out: an expert a step, all by hand."""
    autoencoder, *experts = networks(profile)
    height, width = SIZE["height"], SIZE["width"]
    levels = sigmas(steps, profile.shift)
    chosen = [0 if t >= profile.expert_boundary else 1 for t in levels[:-1]]
    caches = [RingCache(profile) for _ in experts]
    texts = [each.prompt(each.prompt_embedding[prompt][None]) for each in experts]
    shape = (1, profile.latent_channels, height // 16, width // 16)
    draw = ChunkNoise(shape, 0)
    encoding = decoding = autoencoder.empty_memory(1, height, width)
    here = rope_at(profile, [0.0], ROWS, COLUMNS)
    for index in range(CHUNKS):
        guide = to_cells(torch.from_numpy(noisy(index).frames)[None])
        known = guides_of(noisy(index), profile, profile.chunk_frames)
        shapes, light = map(torch.from_numpy, known.values())
        reference, encoding = autoencoder.encode(guide, encoding, light)
        contexts = [
            each.context(reference, here, text) for each, text in zip(experts, texts, strict=True)
        ]

        def run(x, t, which, reference=reference, contexts=contexts):
            cache, context = caches[which], contexts[which]
            past_rope = rope_at(profile, cache.times(), ROWS, COLUMNS)
            return experts[which].denoise(
                x, torch.full((1,), t), reference, context, cache.past(context), here, past_rope,
                texts[which],
            )  # fmt: skip

        x = noise = torch.from_numpy(draw.take())
        for which, t, t_next in zip(chosen, levels[:-1], levels[1:], strict=True):
            x = euler_step(x, run(x, t, which)[0], t, t_next)
        cells, decoding = autoencoder.decode(x, guide, decoding, noise, shapes)
        kept = [run(x, 0.0, which)[1] for which in range(len(experts))]
        for cache, kv in zip(caches, kept, strict=True):
            cache.push(kv)
        yield to_bytes(cells, profile.chunk_frames)[0].numpy(), x


def test_equal_experts_are_the_one_expert_engine():
    autoencoder, first, _ = networks()
    alone = replace(TWO, experts=1)
    one = random_networks(alone, torch.device("cpu"))
    with TorchEngine(one, **SIZE) as engine:
        expected = pictures(engine)
    with TorchEngine((autoencoder, first, deepcopy(first)), **SIZE) as engine:
        assert all(equal(pictures(engine), expected))
    with TorchEngine(networks(), **SIZE) as engine:
        assert not any(equal(pictures(engine), expected))


@pytest.mark.parametrize("steps", [2, 4])
def test_the_engine_is_the_rollout_by_hand(steps):
    for name in (0, 2):
        prompt = TWO.prompts[name]
        with TorchEngine(networks(), steps=steps, prompt=prompt, **SIZE) as engine:
            for index, (frames, latent) in enumerate(rollout(TWO, steps, name)):
                got = engine.realize(noisy(index)).frames
                mine = engine._stages.buffers.latent
                torch.testing.assert_close(mine, latent, atol=1e-5, rtol=1e-5)
                assert np.abs(got.astype(int) - frames).max() <= 1


def test_the_boundary_decides_who_serves():
    high, low = 1.0, 0.0  # the first expert serves the first step alone, or all
    answers = {}
    for boundary in (high, 0.875, low):
        networks_there = networks(replace(TWO, expert_boundary=boundary))
        with TorchEngine(networks_there, steps=4, **SIZE) as engine:
            answers[boundary] = pictures(engine, 1)[0]
            assert len(engine._stages.experts) == (1 if boundary == low else 2)
    assert len({frames.tobytes() for frames in answers.values()}) == 3
    alone = replace(TWO, experts=1)
    with TorchEngine(random_networks(alone, torch.device("cpu")), steps=4, **SIZE) as engine:
        assert np.array_equal(pictures(engine, 1)[0], answers[low])


def test_an_expert_without_a_step_stays_where_it_is():
    given = networks()
    with TorchEngine(given, steps=1, precision="bf16", **SIZE) as engine:
        pictures(engine, 2)
    assert given[1].proj_out.weight.dtype == torch.bfloat16
    assert given[2].proj_out.weight.dtype == torch.float32


@pytest.mark.parametrize("options", [{}, {"precision": "bf16"}, {"recompute_reference": True}])
def test_reset_and_prompts_work_as_with_one_expert(checkpoint, options):
    with TorchEngine(checkpoint, **SIZE, **options) as engine:
        base = pictures(engine)
        assert all(equal(pictures(engine), base))
        engine.reset()
        engine.set_prompt("rain", fade_chunks=1)
        shown = [engine.realize(noisy(index)) for index in range(2)]
        assert [chunk.prompt_weight for chunk in shown] == [0.5, 1.0]
        rain = pictures(engine)
        assert not any(equal(rain, base))
        engine.set_prompt("as simulated")
        assert all(equal(pictures(engine), base))
    with TorchEngine(checkpoint, prompt="rain", **SIZE, **options) as engine:
        assert all(equal(pictures(engine), rain))
    if "recompute_reference" in options:
        with TorchEngine(checkpoint, **SIZE) as engine:
            assert all(equal(pictures(engine), base))


def adapter_file(path, place, expert=None):
    """Write a LoRA of one of the experts."""
    transformer = networks()[1 + place]
    attached = attach(transformer, rank=2, generator=torch.Generator().manual_seed(place))
    with torch.no_grad():
        for low_rank in attached.low_ranks.values():
            low_rank.up.normal_(std=0.3, generator=torch.Generator().manual_seed(9 + place))
    facts = LoraFacts(base_model="tiny-two", licence="Apache-2.0", expert=expert)
    save(path, attached, scheme="diffusers", facts=facts)
    return path


def test_every_expert_has_its_adapter(checkpoint, tmp_path):
    high = adapter_file(tmp_path / "high.safetensors", 0, "high_noise")
    low = adapter_file(tmp_path / "low.safetensors", 1)
    with TorchEngine(checkpoint, **SIZE) as engine:
        base = pictures(engine, 3)
    answers = []
    for files in (high, low, [(high, 1.0), (low, 1.0)]):
        with TorchEngine(checkpoint, adapter=files, **SIZE) as engine:
            full = pictures(engine, 3)
            assert engine.strength == 1.0
            engine.set_strength(0.0)
            assert all(equal(pictures(engine, 3), base))
            engine.set_strength(1.0)
            assert all(equal(pictures(engine, 3), full))
            answers.append(full[0].tobytes())
    assert len({*answers, base[0].tobytes()}) == 4
    nameless = low.rename(tmp_path / "lora.safetensors")
    with pytest.raises(EngineError, match=r"names its expert of tiny-two in its header or file"):
        TorchEngine(checkpoint, adapter=nameless, **SIZE)
    one = random_networks(replace(TWO, experts=1), torch.device("cpu"))
    with pytest.raises(EngineError, match=r"one expert, got .*high.* for the expert high_noise"):
        TorchEngine(one, adapter=high, **SIZE)


def test_memory_holds_every_experts_past_apart(checkpoint):
    with TorchEngine(checkpoint, **SIZE) as engine:
        pictures(engine)
        first, second = engine._stages.buffers.states
        assert first.store.slots == second.store.slots
        past = first.store.begin
        for rows in (slice(0, past // 2), slice(past // 2, past), slice(past, None)):
            own, other = (store.rows[0][:, :, rows] for store in (first.store, second.store))
            assert not torch.equal(own, other)
        assert not torch.equal(first.prompt_kv, second.prompt_kv)


def test_opens_by_name_and_says_what_is_missing(checkpoint, tmp_path):
    with load_engine(str(checkpoint), **SIZE) as engine:
        assert engine.realize(noisy(0)).frames.shape == (4, 64, 96, 3)
    with pytest.raises(BuildError, match="2 transformers of tiny-two, one for each expert, got 1"):
        TorchEngine(networks()[:2], **SIZE)
    with pytest.raises(BuildError, match="of one expert, got tiny-two with 2"):
        export(checkpoint, tmp_path)
    broken = networks()
    with torch.no_grad():
        broken[2].proj_out.weight[0, 0] = float("nan")
    with pytest.raises(BuildError, match=r"transformer_2\.proj_out\.weight"):
        TorchEngine(broken, **SIZE)
