"""The network without a reference is diffusers' Wan transformer; with one, an IC-LoRA's uncached
form is that transformer over both clips joined on the frame axis."""

import dataclasses

import pytest
import torch

from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import WAN_1_3B
from realmaster_live.training.latents import ropes

PROFILE = dataclasses.replace(
    WAN_1_3B, width=48, layers=2, heads=2, hidden=64, text_width=20, frequency_width=32
)
FRAMES, ROWS, COLUMNS = 3, 2, 4
TIMES = (0.0,)  # of one chunk, which holds all frames


@pytest.fixture(scope="module")
def theirs():
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=PROFILE.heads,
        attention_head_dim=PROFILE.head_width,
        in_channels=PROFILE.latent_channels,
        out_channels=PROFILE.latent_channels,
        text_dim=PROFILE.text_width,
        freq_dim=PROFILE.frequency_width,
        ffn_dim=PROFILE.hidden,
        num_layers=PROFILE.layers,
        rope_max_seq_len=16,
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape))
    return model


@pytest.fixture(scope="module")
def ours(theirs):
    model = InContextTransformer(PROFILE).eval()
    model.load_state_dict(theirs.state_dict())  # strict: every name and shape is theirs
    return model


def latents(seed: int) -> torch.Tensor:
    shape = (2, PROFILE.latent_channels, FRAMES, 2 * ROWS, 2 * COLUMNS)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def text() -> torch.Tensor:
    return torch.randn(2, 7, PROFILE.text_width, generator=torch.Generator().manual_seed(9))


def x0_of(sample, timestep, velocity):
    return sample - timestep.view(-1, 1, 1, 1, 1) * velocity


@torch.no_grad()
def test_text_to_video_form_equals_diffusers(ours, theirs):
    sample, timestep = latents(1), torch.tensor([0.9, 0.3])
    velocity = theirs(sample, 1000.0 * timestep, text()).sample
    got = ours.whole(
        sample, timestep, ropes(PROFILE, ROWS, COLUMNS, TIMES), prompt_kv=ours.prompt(text())
    )
    torch.testing.assert_close(got, x0_of(sample, timestep, velocity), atol=1e-5, rtol=1e-5)
    assert velocity.abs().mean() > 0.1  # the comparison says something


@torch.no_grad()
def test_reference_form_equals_diffusers_over_joined_clips(ours, theirs, monkeypatch):
    """Per-token timesteps as in the 5B model, and shared positions by halving its own tables."""
    sample, reference, timestep = latents(1), latents(2), torch.tensor([0.9, 0.3])
    stock = theirs.rope.forward

    def shared(hidden_states):
        tables = stock(hidden_states[:, :, :FRAMES])
        return tuple(torch.cat((table, table), 1) for table in tables)

    monkeypatch.setattr(theirs.rope, "forward", shared)
    count = FRAMES * ROWS * COLUMNS
    each = torch.cat((timestep[:, None].expand(2, count), torch.zeros(2, count)), 1)
    joined = torch.cat((sample, reference), 2)
    velocity = theirs(joined, 1000.0 * each, text()).sample[:, :, :FRAMES]
    got = ours.whole(
        sample,
        timestep,
        ropes(PROFILE, ROWS, COLUMNS, TIMES),
        reference=reference,
        prompt_kv=ours.prompt(text()),
    )
    torch.testing.assert_close(got, x0_of(sample, timestep, velocity), atol=1e-5, rtol=1e-5)
    alone = ours.whole(
        sample, timestep, ropes(PROFILE, ROWS, COLUMNS, TIMES), prompt_kv=ours.prompt(text())
    )
    assert (got - alone).abs().max() > 1e-3  # the reference has a say


@torch.no_grad()
@pytest.mark.parametrize("aligned", [False, True])
def test_cached_reference_equals_one_masked_attention(ours, aligned):
    """Several latent frames a chunk: reference tokens see the reference only."""
    model, prompt = ours, ours.prompt(text())
    if aligned:
        torch.manual_seed(1)
        profile = dataclasses.replace(PROFILE, text_width=0, aligned=True, prediction="x0")
        model, prompt = InContextTransformer(profile).eval(), None
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape))
    sample, reference, timestep = latents(3), latents(4), torch.tensor([0.7, 0.7])
    rope, nothing = (ropes(PROFILE, ROWS, COLUMNS, times) for times in (TIMES, ()))
    context = model.context(reference, rope, prompt)
    got, _ = model.denoise(
        sample, timestep, reference, context, context[..., :0, :], rope, nothing, prompt
    )
    expected = masked_form(model, sample, timestep, reference, rope, prompt)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    assert (expected - reference).abs().max() > 0.1


def masked_form(model, sample, timestep, reference, rope, prompt):
    """The same asymmetric rule as one attention over [target | reference] with a boolean mask."""
    count = FRAMES * ROWS * COLUMNS
    mask = torch.ones(2 * count, 2 * count, dtype=torch.bool)
    mask[count:, :count] = False  # the reference does not see the target
    real = torch.nn.functional.scaled_dot_product_attention

    def masked(query, key, value):
        joint = query.shape[2] == key.shape[2] == 2 * count
        return real(query, key, value, attn_mask=mask if joint else None)

    with pytest.MonkeyPatch.context() as patch:
        for block in model.blocks:
            patch.setattr(block.attn1, "kernel", masked)
        return model.whole(sample, timestep, rope, reference=reference, prompt_kv=prompt)
