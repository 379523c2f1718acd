"""The baseline without a cache: all clips concatenated on the frame axis, with full attention.

This is how diffusers runs a public IC-LoRA: every token attends to every token, so no keys and
values can be reused between steps. It serves to compare results and speed.

Legend: B batch, N tokens of a chunk, A tokens of all clips, D channels of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.in_context import Rope
from realmaster_live.model.profile import Profile
from realmaster_live.optional import require

Clip = tuple[Tensor, Tensor, Rope]  # a clean latent, its reference, its rotary tables


def concatenated_ropes(rope: Rope, past: Sequence[Clip]) -> Rope:
    """Return the rotary tables of [target | reference | past]; the first two share positions."""
    ropes = [rope, rope, *(clip[2] for clip in past)]
    return torch.cat([cos for cos, _ in ropes]), torch.cat([sin for _, sin in ropes])


def token_timesteps(timestep: Tensor, count: int, clean: int) -> Tensor:  # (B,) -> (B, A)
    """Return a timestep for each token: the target's for `count` tokens, then 0 for `clean`."""
    noisy = timestep[:, None].expand(-1, count)
    return torch.cat((noisy, noisy.new_zeros(len(noisy), clean)), 1)


def predict_concatenated(
    model: InContextTransformer,
    sample: Tensor,  # latent (1 - t) x0 + t noise
    timestep: Tensor,  # (B,) float32 t in [0, 1]
    rope: Rope,
    reference: Tensor,  # latent
    past: Sequence[Clip],
    prompt_kv: Tensor | None = None,  # (L, 2, B, H, M, D)
) -> Tensor:
    """Return x0 of the target; without a past, the same as `InContextTransformer.whole`."""
    clips = [
        model.embed_target(sample, reference),
        model.embed_reference(reference),
        *(model.embed_target(latent, known) for latent, known, _ in past),
    ]
    count = clips[0].shape[1]
    tokens = torch.cat(clips, 1)
    each = token_timesteps(timestep, count, tokens.shape[1] - count)
    embedding, modulation = model.condition_embedder(each)
    x, _ = model.through_blocks(tokens, modulation, concatenated_ropes(rope, past), (), prompt_kv)
    return model.predict(x[:, :count], embedding[:, :count], sample, timestep, reference)


class PrecomputedRope(nn.Module):
    """Replaces diffusers' rotary module; returns given tables for any latent."""

    def __init__(self, rope: Rope) -> None:
        super().__init__()
        self.tables = tuple(table.repeat_interleave(2, -1)[None, :, None, :] for table in rope)

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, ...]:
        """Return cos and sin, each (1, A, 1, D)."""
        return self.tables


class DiffusersTransformer:
    """diffusers' own WanTransformer3DModel with our weights, run as in diffusers' pipelines.

    All clips form one latent with several times the frames, and the text goes through the text
    embedder at every step.
    """

    def __init__(self, model: InContextTransformer, *, bf16: bool = False) -> None:
        """Copy the weights; the profile must have diffusers' structure (not `aligned`).

        `bf16` is for use under autocast. As in diffusers' pipelines, products and the norms of keys
        and queries are then bfloat16, while other norms and the modulation tables stay float32.
        """
        profile = model.profile
        diffusers = require("diffusers", extra="training")
        self.network = diffusers.WanTransformer3DModel(**diffusers_config(profile)).eval()
        self.network.load_state_dict(model.state_dict())
        self.network.requires_grad_(False)
        for part in self.network.modules():
            if bf16 and isinstance(part, (nn.Linear, nn.Conv3d, nn.RMSNorm)):
                part.to(torch.bfloat16)

    def predict(
        self,
        sample: Tensor,  # (B, C, F, h, w)
        timestep: Tensor,  # (B,)
        rope: Rope,
        reference: Tensor,  # (B, C, F, h, w)
        past: Sequence[Clip],
        text: Tensor,  # (B, M, text width)
    ) -> Tensor:
        """Return x0 of the target, the same as `predict_concatenated`."""
        clips = torch.cat((sample, reference, *(latent for latent, _, _ in past)), 2)
        positions = concatenated_ropes(rope, past)
        count = len(rope[0])
        each = token_timesteps(timestep, count, len(positions[0]) - count)
        self.network.rope = PrecomputedRope(positions)
        velocity: Tensor = self.network(clips, 1000.0 * each, text, return_dict=False)[0]
        t = timestep.view(-1, 1, 1, 1, 1)
        return sample - t * velocity[:, :, : sample.shape[2]]


def diffusers_config(profile: Profile) -> dict[str, object]:
    """Return the arguments of diffusers' WanTransformer3DModel for a profile's network."""
    patch = profile.patch
    return {
        "patch_size": (1, patch, patch),
        "num_attention_heads": profile.heads,
        "attention_head_dim": profile.head_width,
        "in_channels": profile.latent_channels,
        "out_channels": profile.latent_channels,
        "text_dim": profile.text_width,
        "freq_dim": profile.frequency_width,
        "ffn_dim": profile.hidden,
        "num_layers": profile.layers,
    }
