"""The in-context video transformer: rendered latents in, photoreal latents out.

Where a part exists in diffusers' WanTransformer3DModel its parameters have the same names.

Legend: B batch, C latent channels, h w latent height and width, N tokens of a chunk, P tokens of
the past, L layers, H heads, D channels of a head, W width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from realmaster_live.model.in_context import Attention, Rope, attend, rotate
from realmaster_live.model.profile import Profile


def timestep_sinusoids(timestep: Tensor, width: int) -> Tensor:  # (B,) in [0, 1] -> (B, width)
    """Return cosines and sines of 1000 t at `width / 2` frequencies."""
    half = width // 2
    rates = torch.exp(-math.log(10_000.0) * torch.arange(half, device=timestep.device) / half)
    angles = 1000.0 * timestep[:, None].float() * rates
    return torch.cat((angles.cos(), angles.sin()), -1)


class TimeEmbedder(nn.Module):
    """Two linear layers on the timestep's sinusoids."""

    def __init__(self, frequency_width: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(frequency_width, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (B, frequency_width) -> (B, W)
        """Return the embedding."""
        out: Tensor = self.linear_2(nn.functional.silu(self.linear_1(x)))
        return out


class ConditionEmbedder(nn.Module):
    """Turns a timestep into an embedding and the six modulations of a block."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.frequency_width = profile.frequency_width
        self.time_embedder = TimeEmbedder(profile.frequency_width, profile.width)
        self.time_proj = nn.Linear(profile.width, 6 * profile.width)

    def forward(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding (B, W) and the modulations (B, 6, W)."""
        embedding = self.time_embedder(timestep_sinusoids(timestep, self.frequency_width))
        modulation = self.time_proj(nn.functional.silu(embedding))
        return embedding, torch.unflatten(modulation, -1, (6, -1))


class Gelu(nn.Module):
    """A linear layer and the tanh form of GELU, named as in diffusers."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Return gelu(proj(x))."""
        return nn.functional.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """The block's feed-forward; `net.0.proj` and `net.2` as in diffusers."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(Gelu(width, hidden), nn.Identity(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the feed-forward's answer."""
        out: Tensor = self.net(x)
        return out


class Block(nn.Module):
    """Attention and feed-forward, both modulated by the timestep (adaLN)."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(profile.width, eps=1e-6, elementwise_affine=False)
        self.attn1 = Attention(profile.width, profile.heads)
        self.norm3 = nn.LayerNorm(profile.width, eps=1e-6, elementwise_affine=False)
        self.ffn = FeedForward(profile.width, profile.hidden)
        self.scale_shift_table = nn.Parameter(torch.zeros(1, 6, profile.width))

    def forward(
        self,
        x: Tensor,  # (B, N, W)
        modulation: Tensor,  # (B, 6, W)
        rope: Rope,
        seen: list[tuple[Tensor, Tensor]],  # rotated keys and values of the other groups
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return x, and this group's unrotated keys and values (B, H, N, D)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.scale_shift_table + modulation).chunk(
            6, 1
        )
        y = self.norm1(x) * (1 + scale1) + shift1
        key, value = self.attn1.key_value(y)
        query = rotate(self.attn1.query(y), rope)
        x = x + gate1 * self.attn1.out(attend(query, [*seen, (rotate(key, rope), value)]))
        y = self.norm3(x) * (1 + scale2) + shift2
        return x + gate2 * self.ffn(y), key, value


class InContextTransformer(nn.Module):
    """Predicts the clean latents of a chunk from noise, its rendered latents and its past."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.profile = profile
        width, patch = profile.width, profile.patch
        self.patch_embedding = nn.Conv3d(
            profile.latent_channels, width, (1, patch, patch), (1, patch, patch)
        )
        self.reference_embedding = nn.Linear(profile.token_channels, width)
        self.stream_embedding = nn.Parameter(0.02 * torch.randn(2, width))  # reference, target
        self.condition_embedder = ConditionEmbedder(profile)
        self.blocks = nn.ModuleList(Block(profile) for _ in range(profile.layers))
        self.norm_out = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.scale_shift_table = nn.Parameter(torch.zeros(1, 2, width))
        self.proj_out = nn.Linear(width, profile.token_channels)
        self._start()

    def _start(self) -> None:
        """Start as the identity on the reference, with half-open gates that let gradients in."""
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)
        nn.init.normal_(self.condition_embedder.time_proj.weight, std=0.02)
        nn.init.zeros_(self.condition_embedder.time_proj.bias)
        for block in self.blocks:
            assert isinstance(block, Block)
            with torch.no_grad():
                block.scale_shift_table[:, (2, 5)] = 0.5

    def tokens(self, latent: Tensor) -> Tensor:  # (B, C, h, w) -> (B, N, C * patch * patch)
        """Cut latents into tokens, channels first inside a token."""
        return nn.functional.pixel_unshuffle(latent, self.profile.patch).flatten(2).transpose(1, 2)

    def embed(self, tokens: Tensor) -> Tensor:  # (B, N, C * patch * patch) -> (B, N, W)
        """Apply the patch embedding as the matrix product that it is."""
        weight = self.patch_embedding.weight.flatten(1)
        return nn.functional.linear(tokens, weight, self.patch_embedding.bias)

    def context(
        self,
        reference: Tensor,  # (B, C, h, w)
        rope: Rope,
    ) -> Tensor:  # (L, 2, B, H, N, D)
        """Return the reference's rotated keys and its values, once a chunk."""
        timestep = torch.zeros_like(reference[:, 0, 0, 0], dtype=torch.float32)
        _, modulation = self.condition_embedder(timestep)
        x = self.embed(self.tokens(reference)) + self.stream_embedding[0]
        pairs: list[Tensor] = []
        for block in self.blocks:
            x, key, value = block(x, modulation, rope, [])
            pairs += [rotate(key, rope), value]
        return torch.unflatten(torch.stack(pairs), 0, (-1, 2))

    def denoise(
        self,
        sample: Tensor,  # (B, C, h, w) (1 - t) x0 + t noise
        timestep: Tensor,  # (B,) float32 t in [0, 1]
        reference: Tensor,  # (B, C, h, w)
        reference_kv: Tensor,  # (L, 2, B, H, N, D) from `context`
        past_kv: Tensor,  # (L, 2, B, H, P, D) of earlier targets, keys unrotated; P may be 0
        rope: Rope,
        past_rope: Rope,  # (P, D / 2) each
    ) -> tuple[Tensor, Tensor]:
        """Return x0 (B, C, h, w) and this target's keys (unrotated) and values.

        At t = 0 on the clean target, the second answer is what the ring keeps.
        """
        embedding, modulation = self.condition_embedder(timestep)
        aligned = self.tokens(reference)
        x = self.embed(self.tokens(sample)) + self.stream_embedding[1]
        x = x + self.reference_embedding(aligned)
        pairs: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            reference_pair, past_pair = reference_kv[index], past_kv[index]
            seen = [
                (reference_pair[0], reference_pair[1]),
                (rotate(past_pair[0], past_rope), past_pair[1]),
            ]
            x, key, value = block(x, modulation, rope, seen)
            pairs += [key, value]
        shift, scale = (self.scale_shift_table + embedding[:, None]).chunk(2, 1)
        delta = self.proj_out(self.norm_out(x) * (1 + scale) + shift)
        rows = reference.shape[2] // self.profile.patch
        delta = torch.unflatten(delta.transpose(1, 2), 2, (rows, -1))
        x0 = reference + nn.functional.pixel_shuffle(delta, self.profile.patch)
        return x0, torch.unflatten(torch.stack(pairs), 0, (-1, 2))
