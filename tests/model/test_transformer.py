import dataclasses
import itertools

import numpy as np
import pytest
import torch

from realmaster_live.model.cache import RingCache
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.in_context import attend, rotate
from realmaster_live.model.profile import EMBEDDED, TINY, Profile
from realmaster_live.model.rope import rope_tables
from realmaster_live.model.sampling import add_noise, euler_step, sigmas
from realmaster_live.training.latents import Rollout, roll_out, ropes

ROWS, COLUMNS = 2, 3


def make_transformer(profile: Profile = TINY, seed: int = 0) -> InContextTransformer:
    torch.manual_seed(seed)
    model = InContextTransformer(profile).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape))
    return model


def latents(count: int, seed: int, profile: Profile = TINY) -> torch.Tensor:
    shape = (count, 1, profile.latent_channels, ROWS * profile.patch, COLUMNS * profile.patch)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rope_of(times: tuple[float, ...] = (0.0,)):
    return ropes(TINY, ROWS, COLUMNS, times)


@torch.no_grad()
def test_new_model_answers_with_its_reference():
    model = InContextTransformer(TINY)
    reference = latents(1, 0)[0]
    context = model.context(reference, rope_of())
    x0, _ = model.denoise(
        torch.randn_like(reference),
        torch.ones(1),
        reference,
        context,
        context[..., :0, :],
        rope_of(),
        rope_of(()),
    )
    assert torch.equal(x0, reference)


@torch.no_grad()
def test_context_is_the_same_at_every_step():
    model = make_transformer()
    reference = latents(1, 2)[0]
    first, again = (model.context(reference, rope_of()) for _ in range(2))
    assert (first - again).abs().max() <= 1e-6


@torch.no_grad()
@pytest.mark.parametrize(("ring", "sink"), [(1, 0), (2, 0), (2, 1)])
def test_ring_rollout_equals_recomputing_the_past(ring, sink):
    """Keys kept unrotated in overwritten slots give what freshly ordered keys give."""
    profile = dataclasses.replace(TINY, ring=ring, sink=sink)
    model = make_transformer(profile)
    references, noise = latents(6, 3), latents(1, 4)[0]
    levels = sigmas(2, 5.0)
    rolled = Rollout(model, levels)
    got = [rolled.chunk(reference, noise)[0] for reference in references]

    kept: list[torch.Tensor] = []  # every chunk's keys and values, oldest first
    for index, reference in enumerate(references):
        oldest = max(sink, index - ring)
        seen = [*range(min(sink, index)), *range(oldest, index)]
        ages = [ring + sink - i if i < sink else index - i for i in seen]
        if index < sink:
            ages = [ring + index - i for i in seen]
        rope, past_rope = rope_of(), rope_of(tuple(-float(age) for age in ages))
        context = model.context(reference, rope)
        past = torch.cat([kept[i] for i in seen], 4) if seen else context[..., :0, :]
        x = noise
        for t, t_next in itertools.pairwise(levels):
            time = torch.full((1,), t)
            x0, _ = model.denoise(x, time, reference, context, past, rope, past_rope)
            x = euler_step(x, x0, t, t_next)
        torch.testing.assert_close(got[index], x, atol=1e-5, rtol=1e-5)
        zero = torch.zeros(1)
        kept.append(model.denoise(x, zero, reference, context, past, rope, past_rope)[1])


@torch.no_grad()
def test_the_past_matters_and_reset_forgets_it():
    model = make_transformer()
    references, noise = latents(3, 5), latents(1, 6)[0]
    rollout = Rollout(model, sigmas(2, 5.0))
    first = rollout.chunk(references[0], noise)[0]
    later = rollout.chunk(references[0], noise)[0]
    assert (first - later).abs().max() > 1e-4
    rollout.cache.reset()
    assert torch.equal(rollout.chunk(references[0], noise)[0], first)


def test_roll_out_is_a_function_of_its_generator():
    model = make_transformer()
    names = ["as simulated"]
    once, again, other = (
        roll_out(model, latents(3, 7), sigmas(2, 5.0), torch.Generator().manual_seed(seed), names)
        for seed in (1, 1, 2)
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_gradient_flows_through_one_step_only():
    model = make_transformer()
    references, noise = latents(2, 8), latents(1, 9)[0]
    rollout = Rollout(model, sigmas(2, 5.0))
    clean, none = rollout.chunk(references[0], noise)
    assert none is None
    assert not clean.requires_grad
    clean, x0 = rollout.chunk(references[1], noise, gradient_step=1)
    assert x0 is not None
    assert x0.requires_grad
    assert not clean.requires_grad
    assert not any(slot.requires_grad for slot in rollout.cache.ring)


def test_ring_keeps_the_sink_and_the_newest():
    profile = dataclasses.replace(TINY, ring=2, sink=1)
    cache = RingCache(profile)
    for value in range(5):
        cache.push(torch.full((1, 2, 1, 1, 1, 2), float(value)))
    past = cache.past(torch.zeros(1, 2, 1, 1, 1, 2))[0, 0, 0, 0, :, 0].tolist()
    by_time = dict(zip(cache.times(), past, strict=True))
    assert by_time == {-3.0: 0.0, -2.0: 3.0, -1.0: 4.0}


def test_rotation_keeps_length_and_sees_only_distance():
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 1, 1, TINY.head_width, generator=generator) for _ in range(2))

    def at(x, t, row, column):
        cos, sin = rope_tables(
            [t], row + 1, column + 1, widths=TINY.rope_widths, theta=TINY.rope_theta
        )
        return rotate(x, (torch.from_numpy(cos[-1:]), torch.from_numpy(sin[-1:])))

    near = (at(q, 0, 1, 2) * at(k, -1, 0, 1)).sum()
    far = (at(q, 5, 3, 6) * at(k, 4, 2, 5)).sum()
    torch.testing.assert_close(near, far, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(at(q, 3, 2, 1).norm(), q.norm())


def test_rotation_in_the_graph_is_the_same(monkeypatch):
    x = torch.randn(2, 2, 6, TINY.head_width, generator=torch.Generator().manual_seed(1))
    eager = rotate(x, rope_of())
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(rotate(x, rope_of()), eager, atol=1e-6, rtol=1e-6)


def test_attend_does_not_care_about_the_order_of_groups():
    generator = torch.Generator().manual_seed(2)
    q, *kv = (torch.randn(1, 2, 4, 8, generator=generator) for _ in range(5))
    groups = [(kv[0], kv[1]), (kv[2], kv[3])]
    torch.testing.assert_close(attend(q, groups), attend(q, groups[::-1]))


def test_sigmas_and_euler_by_hand():
    assert sigmas(2, 5.0) == pytest.approx([1.0, 2.5 / 3.0, 0.0])
    assert sigmas(1, 5.0) == [1.0, 0.0]
    x0, eps = torch.tensor([[2.0]]), torch.tensor([[-1.0]])
    half = add_noise(x0, eps, torch.tensor([0.25]))
    assert half.item() == pytest.approx(1.25)
    assert euler_step(half, x0, 0.25, 0.0).item() == pytest.approx(2.0)
    assert euler_step(eps, x0, 1.0, 0.25).item() == pytest.approx(1.25)


def test_parameter_names_are_those_of_diffusers():
    """Every part that exists in diffusers' Wan transformer has its name and shape."""
    names = {k: tuple(v.shape) for k, v in InContextTransformer(EMBEDDED).state_dict().items()}
    width, hidden = EMBEDDED.width, EMBEDDED.hidden
    expected = {
        "patch_embedding.weight": (width, EMBEDDED.latent_channels, 1, 2, 2),
        "condition_embedder.time_embedder.linear_1.weight": (width, EMBEDDED.frequency_width),
        "condition_embedder.time_proj.weight": (6 * width, width),
        "blocks.5.attn1.to_q.weight": (width, width),
        "blocks.5.attn1.to_out.0.bias": (width,),
        "blocks.5.attn1.norm_k.weight": (width,),
        "blocks.5.ffn.net.0.proj.weight": (hidden, width),
        "blocks.5.ffn.net.2.weight": (width, hidden),
        "blocks.5.scale_shift_table": (1, 6, width),
        "proj_out.weight": (EMBEDDED.token_channels, width),
        "scale_shift_table": (1, 2, width),
    }
    assert expected.items() <= names.items()
    diffusers = pytest.importorskip("diffusers.models.transformers.transformer_wan")
    wan = diffusers.WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=24, in_channels=4, out_channels=4, text_dim=8,
        freq_dim=16, ffn_dim=32, num_layers=1,
    )  # fmt: skip
    theirs = set(wan.state_dict())
    ours = {k for k in names if not k.startswith(("reference_", "stream_", "prompt_"))}
    first = {k for k in ours if not k.startswith("blocks.") or k.startswith("blocks.0.")}
    assert first <= theirs


def test_rope_tables_are_exact_far_from_zero():
    cos, sin = rope_tables([0.0], 1, 4000, widths=TINY.rope_widths, theta=TINY.rope_theta)
    assert cos.dtype == np.float32
    fastest = sum(TINY.rope_widths[:2]) // 2  # the first rotation of x turns one radian a token
    assert cos[3999, fastest] == pytest.approx(np.cos(3999.0), abs=1e-7)
    assert sin[3999, fastest] == pytest.approx(np.sin(3999.0), abs=1e-7)


@torch.no_grad()
def test_sink_keeps_its_attention_over_a_thousand_chunks():
    """Positions are relative to the present: what the sink scores never changes, however long."""
    profile = dataclasses.replace(TINY, ring=2, sink=1)
    cache = RingCache(profile)
    tokens = ROWS * COLUMNS
    shape = (profile.layers, 2, 1, profile.heads, tokens, profile.head_width)
    generator = torch.Generator().manual_seed(0)
    kept = [torch.randn(shape, generator=generator) for _ in range(4)]
    query = rotate(torch.randn(shape[2:], generator=generator), rope_of())
    scores = []
    for index in range(1000):
        cache.push(kept[min(index, 3)])
        key = rotate(cache.past(kept[0])[0, 0], rope_of(tuple(cache.times())))
        scores.append((query @ key[..., :tokens, :].transpose(-1, -2)).softmax(-1))
    assert cache.times()[0] == -3.0
    torch.testing.assert_close(scores[-1], scores[3], atol=1e-5, rtol=0)
