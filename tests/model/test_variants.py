"""The variants that are timed against each other run the same network."""

import dataclasses

import pytest
import torch

from realmaster_live.model.concatenated import DiffusersTransformer, predict_concatenated
from realmaster_live.model.copy_counter import CopyCounter
from realmaster_live.model.cost import cost, fill_flop, pass_flop
from realmaster_live.model.profile import TINY
from realmaster_live.model.steady_chunk import BenchCase, SteadyChunk
from realmaster_live.model.variants import MID_SIZE, variants

WAN = dataclasses.replace(
    MID_SIZE, width=48, layers=2, heads=2, hidden=64, text_width=20, prompt_tokens=3
)


@pytest.fixture(scope="module", params=[TINY, WAN], ids=lambda profile: profile.name)
def scene(request):
    return SteadyChunk(BenchCase(profile=request.param, width=128, height=64, rounds=1))


@pytest.fixture
def half():
    return torch.full((1,), 0.5)


@torch.no_grad()
def test_concatenated_without_a_past_equals_whole(scene, half):
    inputs = scene.noise, half, scene.rope
    got = predict_concatenated(scene.model, *inputs, scene.reference, [], scene.prompt_kv)
    expected = scene.model.whole(*inputs, reference=scene.reference, prompt_kv=scene.prompt_kv)
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-6)
    longer = predict_concatenated(
        scene.model, *inputs, scene.reference, scene.past, scene.prompt_kv
    )
    assert (longer - got).abs().max() > 1e-4  # the past matters


@torch.no_grad()
def test_concatenated_equals_diffusers(half):
    pytest.importorskip("diffusers")
    scene = SteadyChunk(BenchCase(profile=WAN, width=128, height=64, rounds=1))
    inputs = scene.noise, half, scene.rope, scene.reference, scene.past
    got = DiffusersTransformer(scene.model).predict(*inputs, scene.text)
    expected = predict_concatenated(scene.model, *inputs, scene.prompt_kv)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    assert (expected - scene.noise).abs().max() > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_recomputed_equals_cached_to_the_last_bit(scene, steps):
    x0, kept = scene.cached(steps, past=True)
    again, kept_again = scene.cached(steps, past=True, recompute=True)
    assert torch.equal(x0, again) and torch.equal(kept, kept_again)
    alone, nothing = scene.cached(steps, past=False)
    assert nothing is None
    assert (x0 - alone).abs().max() > 1e-4  # the past matters


def test_the_cached_variant_costs_as_much_as_the_profile_says(scene):
    first = variants(scene)[0]
    known = cost(scene.profile, height=64, width=128, steps=2)
    tokens, keys = known.tokens, 2 * known.tokens + len(scene.past) * known.tokens
    expected = known.flop
    for queries, seen in (
        (tokens, tokens),
        (tokens, keys),
    ):  # whole passes in place of filling ones
        expected += pass_flop(scene.profile, queries, seen) - fill_flop(
            scene.profile, queries, seen
        )
    assert first.flop(2) == pytest.approx(expected, rel=1e-9)


@torch.no_grad()
def test_copies_are_counted_by_what_they_write():
    x = torch.zeros(3, 5)
    with CopyCounter() as counter:
        torch.cat((x, x))
        torch.stack((x, x))
        x.copy_(x + x)
        x.to(torch.bfloat16)
        (x @ x.T).relu()
    assert counter.written == {"cat": 120, "stack": 120, "copy_": 60, "_to_copy": 30}
    assert counter.bytes == 330
    assert counter.across == 0
