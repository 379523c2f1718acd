"""The arithmetic of a profile's cost against the real network on meta tensors."""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from realmaster_live.model.cost import (
    PROMPT_TOKENS,
    cost,
    engine_bytes,
    fill_flop,
    parameters,
    pass_flop,
)
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import (
    EMBEDDED,
    PROFILES,
    TINY,
    WAN_1_3B,
    WAN_5B,
    WAN_5B_ONE_STEP,
    WAN_A14B,
)


@pytest.mark.parametrize("profile", [*PROFILES.values(), TINY], ids=lambda profile: profile.name)
def test_parameters_are_those_of_the_network(profile):
    with torch.device("meta"):
        model = InContextTransformer(profile)
    assert parameters(profile) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("profile", "rows", "columns"), [(WAN_1_3B, 30, 52), (WAN_5B, 22, 40), (EMBEDDED, 9, 16)]
)
def test_a_denoise_pass_does_the_work_that_torch_counts(profile, rows, columns):
    frames, patch = profile.chunk_latents, profile.patch
    tokens = frames * rows * columns
    past = (profile.ring + profile.sink) * tokens
    with torch.device("meta"):
        model = InContextTransformer(profile)
        side = (rows * patch, columns * patch)
        shape = (1, profile.latent_channels, *((frames,) if frames > 1 else ()), *side)
        sample, heads = torch.empty(shape), (profile.layers, 2, 1, profile.heads)
        kv, past_kv, prompt = (
            torch.empty(*heads, count, profile.head_width)
            for count in (tokens, past, profile.prompt_tokens or PROMPT_TOKENS)
        )
        rope, past_rope = (
            (torch.empty(count, profile.head_width // 2),) * 2 for count in (tokens, past)
        )
        with FlopCounterMode(display=False) as counter:
            model.denoise(
                sample,
                torch.empty(1),
                sample,
                kv,
                past_kv,
                rope,
                past_rope,
                prompt if profile.text_width else None,
            )
    expected = pass_flop(profile, tokens, 2 * tokens + past)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("profile", "size", "options", "teraflop"),
    [
        (WAN_1_3B, (480, 832), {"steps": 2}, 101),
        (WAN_1_3B, (480, 832), {"steps": 4}, 158),
        (WAN_1_3B, (480, 832), {"steps": 2, "reference_downscale": 2}, 79),
        (WAN_1_3B, (480, 832), {"steps": 4, "cached": False}, 255),
        (WAN_1_3B, (704, 1280), {"steps": 2}, 377),
        (WAN_5B, (704, 1280), {"steps": 2}, 127),
    ],
)
def test_chunks_cost_what_the_design_counted(profile, size, options, teraflop):
    height, width = size
    assert cost(profile, height=height, width=width, **options).flop == pytest.approx(
        1e12 * teraflop, rel=0.02
    )


def test_one_step_from_the_render_is_one_pass():
    size = {"height": 704, "width": 1280}
    whole, one = (cost(profile, **size) for profile in (WAN_5B, WAN_5B_ONE_STEP))
    tokens = whole.tokens
    assert one.flop == pass_flop(WAN_5B, tokens, tokens)
    assert one.flop < whole.flop / 4
    assert one.kv_bytes < whole.kv_bytes / 3


def test_the_small_wan_leaves_a_simulator_room_on_a_card_of_24_gigabytes():
    """Its engine in bf16 at 832x480, with the tiny autoencoder: 9.1 GB, by arithmetic."""
    size = {"height": 480, "width": 832}
    need = engine_bytes(WAN_1_3B, **size)
    assert 7e9 < need < 10e9
    assert engine_bytes(WAN_1_3B, **size, precision="fp8") < need - 1e9
    assert engine_bytes(WAN_1_3B, **size, precision="fp32") > 1.6 * need


def test_a_latent_frame_of_the_small_profile_keeps_287_megabytes():
    whole = cost(WAN_1_3B, height=480, width=832)
    frames = 4 * WAN_1_3B.chunk_latents  # reference, sink, ring, present
    prompt = 4 * WAN_1_3B.layers * WAN_1_3B.width * PROMPT_TOKENS
    assert (whole.kv_bytes - prompt) / frames == pytest.approx(287.5e6, rel=1e-3)


def test_each_expert_has_passes_and_keys_of_its_own():
    one = dataclasses.replace(WAN_A14B, experts=1)
    single, both = (cost(p, height=480, width=832, steps=4) for p in (one, WAN_A14B))
    known, tokens = both.reference_tokens, both.tokens
    keys = tokens + known + (one.ring + one.sink) * tokens
    around = fill_flop(one, known, known) + fill_flop(one, tokens, keys)
    assert both.flop == pytest.approx(single.flop + around)
    assert both.kv_bytes == 2 * single.kv_bytes
    assert both.parameters == 2 * single.parameters
