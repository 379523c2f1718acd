"""The in-context video transformer: rendered latents in, photoreal latents out, at every size.

Parts that exist in diffusers' WanTransformer3DModel have the same parameter names. Without a
reference the network is identical to it, so its checkpoints load unchanged.

Legend: B batch, C latent channels, F latent frames of a chunk, h w latent height and width, N its
tokens, P tokens of the past, M tokens of a prompt, L layers, H heads, D channels of a head, W
width. A *latent* is (B, C, F, h, w), or (B, C, h, w) where a chunk is one latent frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from realmaster_live.model.in_context import (
    Attention,
    Pair,
    Rope,
    Rows,
    attend,
    attend_stored,
    rotate,
    write_pair,
)
from realmaster_live.model.profile import Profile


def timestep_sinusoids(timestep: Tensor, width: int) -> Tensor:  # (...) in [0, 1] -> (..., width)
    """Return cosines and sines of 1000 t at `width / 2` frequencies."""
    half = width // 2
    rates = torch.exp(-math.log(10_000.0) * torch.arange(half, device=timestep.device) / half)
    angles = 1000.0 * timestep[..., None].float() * rates
    return torch.cat((angles.cos(), angles.sin()), -1)


class TimeEmbedder(nn.Module):
    """Embeds the timestep's sinusoids with two linear layers."""

    def __init__(self, frequency_width: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(frequency_width, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (B, frequency_width) -> (B, W)
        """Return the embedding."""
        out: Tensor = self.linear_2(nn.functional.silu(self.linear_1(x)))
        return out


class TextEmbedder(nn.Module):
    """Projects the text encoder's embeddings with two linear layers."""

    def __init__(self, text_width: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(text_width, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (B, M, text width) -> (B, M, W)
        """Return the prompt's tokens."""
        hidden = nn.functional.gelu(self.linear_1(x), approximate="tanh")
        out: Tensor = self.linear_2(hidden)
        return out


class ConditionEmbedder(nn.Module):
    """Embeds prompts and timesteps, and computes the six modulations of a block."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.frequency_width = profile.frequency_width
        self.time_embedder = TimeEmbedder(profile.frequency_width, profile.width)
        self.time_proj = nn.Linear(profile.width, 6 * profile.width)
        if profile.text_width:
            self.text_embedder = TextEmbedder(profile.text_width, profile.width)

    def forward(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings (B, n, W) and modulations (B, n, 6, W).

        `timestep` is (B,), with n = 1 for all tokens, or (B, N), one for each token.
        """
        each = timestep[:, None] if timestep.ndim == 1 else timestep
        waves = timestep_sinusoids(each, self.frequency_width)
        embedding = self.time_embedder(waves.to(self.time_proj.weight.dtype))
        modulation = self.time_proj(nn.functional.silu(embedding))
        return embedding, torch.unflatten(modulation, -1, (6, -1))


class Gelu(nn.Module):
    """A linear layer and GELU in its tanh form, named as in diffusers."""

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
        """Return the feed-forward's output."""
        out: Tensor = self.net(x)
        return out


class Block(nn.Module):
    """Self-attention, cross-attention to a prompt and feed-forward, with adaLN modulation."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        width = profile.width
        self.norm1 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.attn1 = Attention(width, profile.heads)
        if profile.text_width:
            self.norm2 = nn.LayerNorm(width, eps=1e-6)
            self.attn2 = Attention(width, profile.heads)
        self.norm3 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.ffn = FeedForward(width, profile.hidden)
        self.scale_shift_table = nn.Parameter(torch.zeros(1, 6, width))

    def forward(
        self,
        x: Tensor,  # (B, N, W)
        modulation: Tensor,  # (B, 1 or N, 6, W)
        rope: Rope,
        seen: Sequence[Pair],  # rotated keys and values of the other groups
        prompt: Pair | None,
    ) -> tuple[Tensor, Pair]:
        """Return the block's output, and this group's unrotated keys and values."""
        parts = self._modulations(modulation)
        y = self._before(x, parts)
        key, value = self.attn1.key_value(y)
        query = rotate(self.attn1.query(y), rope)
        attended = attend(query, [*seen, (rotate(key, rope), value)], self.attn1.kernel)
        return self._after(x, attended, parts, prompt), (key, value)

    def stored(
        self,
        x: Tensor,  # (B, N, W)
        modulation: Tensor,  # (B, 1 or N, 6, W)
        rope: Rope,
        store: Rows,  # keys, rotated, and values
        prompt: Pair | None,
    ) -> Tensor:
        """Return the same output as `forward`, with keys and values in a store (for inference).

        This group's rotated keys and its values are written to the first N of the S rows, and the
        group attends to all rows, so nothing is concatenated.
        """
        parts = self._modulations(modulation)
        y = self._before(x, parts)
        key, value = self.attn1.key_value(y)
        query = rotate(self.attn1.query(y), rope)
        attended = attend_stored(query, (rotate(key, rope), value), store, self.attn1.kernel)
        return self._after(x, attended, parts, prompt)

    def store_pair(self, x: Tensor, modulation: Tensor, rope: Rope, store: Rows) -> None:
        """Write this group's keys and values as `stored` does, and compute nothing else.

        This is the last block's part in a pass that only fills the store.
        """
        key, value = self.attn1.key_value(self._before(x, self._modulations(modulation)))
        write_pair((rotate(key, rope), value), store)

    def _modulations(self, modulation: Tensor) -> tuple[Tensor, ...]:
        """Return shift, scale and gate of the attention, then those of the feed-forward."""
        return (self.scale_shift_table + modulation).unbind(-2)

    def _before(self, x: Tensor, parts: Sequence[Tensor]) -> Tensor:
        """Return the input of the self-attention's projections."""
        normed: Tensor = self.norm1(x)
        return normed * (1 + parts[1]) + parts[0]

    def _after(
        self, x: Tensor, attended: Tensor, parts: Sequence[Tensor], prompt: Pair | None
    ) -> Tensor:
        """Return the block's output, given that of the self-attention."""
        x = x + parts[2] * self.attn1.out(attended)
        if prompt is not None:
            query = self.attn2.query(self.norm2(x))
            x = x + self.attn2.out(attend(query, [prompt], self.attn2.kernel))
        y = self.norm3(x) * (1 + parts[4]) + parts[3]
        out: Tensor = x + parts[5] * self.ffn(y)
        return out


class InContextTransformer(nn.Module):
    """Predicts the clean latents of a chunk from noise, its rendered latents and its past."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.profile = profile
        width, patch = profile.width, profile.patch
        self.patch_embedding = nn.Conv3d(
            profile.latent_channels, width, (1, patch, patch), (1, patch, patch)
        )
        self.condition_embedder = ConditionEmbedder(profile)
        self.blocks = nn.ModuleList(Block(profile) for _ in range(profile.layers))
        self.norm_out = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.scale_shift_table = nn.Parameter(torch.zeros(1, 2, width))
        self.proj_out = nn.Linear(width, profile.token_channels)
        if profile.aligned:
            self.reference_embedding = nn.Linear(profile.token_channels, width)
            self.stream_embedding = nn.Parameter(0.02 * torch.randn(2, width))  # reference, target
        if profile.prompts:
            shape = (len(profile.prompts), profile.prompt_tokens, profile.text_width)
            self.prompt_embedding = nn.Parameter(torch.randn(shape))
        self._start()

    def _start(self) -> None:
        """Initialize the network to return the reference for every prompt, with half-open gates."""
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)
        nn.init.normal_(self.condition_embedder.time_proj.weight, std=0.02)
        nn.init.zeros_(self.condition_embedder.time_proj.bias)
        for block in self.blocks:
            assert isinstance(block, Block)
            with torch.no_grad():
                block.scale_shift_table[:, (2, 5)] = 0.5
            if self.profile.text_width:
                for parameter in block.attn2.to_out.parameters():
                    nn.init.zeros_(parameter)

    def tokens(self, latent: Tensor) -> Tensor:  # latent -> (B, N, C * patch * patch)
        """Split latents into tokens, channels first inside a token."""
        if latent.ndim == 4:
            cut = nn.functional.pixel_unshuffle(latent, self.profile.patch)
            return cut.flatten(2).transpose(1, 2)
        cut = nn.functional.pixel_unshuffle(latent.transpose(1, 2), self.profile.patch)
        return cut.flatten(3).transpose(2, 3).flatten(1, 2)

    def latent(self, tokens: Tensor, like: Tensor) -> Tensor:  # (B, N, patch * patch * C) -> latent
        """Join predicted tokens, channels last inside a token, into a latent of `like`'s shape."""
        patch = self.profile.patch
        rows = like.shape[-2] // patch
        channels_first = torch.unflatten(tokens, 2, (patch * patch, -1)).transpose(2, 3).flatten(2)
        if like.ndim == 4:
            grid = torch.unflatten(channels_first.transpose(1, 2), 2, (rows, -1))
            return nn.functional.pixel_shuffle(grid, patch)
        frames = torch.unflatten(channels_first, 1, (like.shape[2], -1)).transpose(2, 3)
        grid = torch.unflatten(frames, 3, (rows, -1))
        return nn.functional.pixel_shuffle(grid, patch).transpose(1, 2)

    def spread(self, timestep: Tensor, like: Tensor) -> Tensor:
        """Broadcast timesteps (B,) or (B, N) to multiply a latent of `like`'s shape."""
        if timestep.ndim == 1:
            return timestep.view(-1, *[1] * (like.ndim - 1))
        return self.latent(timestep[..., None].expand(-1, -1, self.profile.token_channels), like)

    def embed(self, latent: Tensor) -> Tensor:  # latent -> (B, N, W)
        """Apply the patch embedding as one matrix product."""
        weight = self.patch_embedding.weight.flatten(1)
        return nn.functional.linear(self.tokens(latent), weight, self.patch_embedding.bias)

    def embed_reference(self, reference: Tensor) -> Tensor:  # latent -> (B, N, W)
        """Return the reference's tokens."""
        x = self.embed(reference)
        if self.profile.aligned:
            x = x + self.stream_embedding[0]
        return x

    def embed_target(self, sample: Tensor, reference: Tensor) -> Tensor:  # latents -> (B, N, W)
        """Return the target's tokens, plus the projected reference tokens in an aligned profile."""
        x = self.embed(sample)
        if self.profile.aligned:
            aligned = self.reference_embedding(self.tokens(reference))
            x = x + self.stream_embedding[1] + aligned
        return x

    def prompt(self, text: Tensor) -> Tensor:  # (B, M, text width) -> (L, 2, B, H, M, D)
        """Return the prompt's keys and values for every block; computed once per prompt."""
        tokens = self.condition_embedder.text_embedder(text)
        pairs: list[Tensor] = []
        for block in self.blocks:
            assert isinstance(block, Block)
            pairs += block.attn2.key_value(tokens)
        return torch.unflatten(torch.stack(pairs), 0, (-1, 2))

    def through_blocks(
        self,
        x: Tensor,  # (B, N, W)
        modulation: Tensor,  # (B, 1 or N, 6, W)
        rope: Rope,
        seen: Sequence[Sequence[Pair]],  # for each block; empty if there are no other groups
        prompt_kv: Tensor | None,  # (L, 2, B, H, M, D)
    ) -> tuple[Tensor, list[Pair]]:
        """Return the last block's output and every block's unrotated keys and values."""
        pairs: list[Pair] = []
        for index, block in enumerate(self.blocks):
            prompt = None if prompt_kv is None else (prompt_kv[index, 0], prompt_kv[index, 1])
            x, pair = block(x, modulation, rope, seen[index] if seen else (), prompt)
            pairs.append(pair)
        return x, pairs

    def predict(
        self,
        x: Tensor,
        embedding: Tensor,
        sample: Tensor,
        timestep: Tensor,
        reference: Tensor | None,
    ) -> Tensor:
        """Return x0 from the last block's output, by the profile's type of prediction."""
        shift, scale = (self.scale_shift_table + embedding[:, :, None]).unbind(-2)
        out = self.latent(self.proj_out(self.norm_out(x) * (1 + scale) + shift), sample)
        if self.profile.prediction == "velocity":
            return sample - self.spread(timestep, sample) * out
        assert reference is not None
        return reference + out

    def context(
        self,
        reference: Tensor,  # latent
        rope: Rope,
        prompt_kv: Tensor | None = None,  # (L, 2, B, H, M, D)
    ) -> Tensor:  # (L, 2, B, H, N, D)
        """Return the reference's rotated keys and its values, which are computed once per chunk.

        N is 0 for a profile without reference tokens.
        """
        profile = self.profile
        if not profile.in_context:
            shape = (profile.layers, 2, len(reference), profile.heads, 0, profile.head_width)
            return reference.new_zeros(shape)
        _, modulation = self.condition_embedder(
            torch.zeros(len(reference), device=reference.device)
        )
        _, pairs = self.through_blocks(
            self.embed_reference(reference), modulation, rope, (), prompt_kv
        )
        rotated = [part for key, value in pairs for part in (rotate(key, rope), value)]
        return torch.unflatten(torch.stack(rotated), 0, (-1, 2))

    def denoise(
        self,
        sample: Tensor,  # latent (1 - t) x0 + t noise
        timestep: Tensor,  # (B,) float32 t in [0, 1], or (B, N) if tokens differ
        reference: Tensor,  # latent
        reference_kv: Tensor | None,  # (L, 2, B, H, N, D) from `context`; None without reference
        past_kv: Tensor,  # (L, 2, B, H, P, D) of earlier targets, keys unrotated; P may be 0
        rope: Rope,
        past_rope: Rope,  # (P, D / 2) each
        prompt_kv: Tensor | None = None,  # (L, 2, B, H, M, D)
    ) -> tuple[Tensor, Tensor]:
        """Return x0 (a latent) and this target's keys (unrotated) and values.

        At t = 0 on the clean target, the second result is what the ring cache stores.
        """
        embedding, modulation = self.condition_embedder(timestep)
        seen: list[list[Pair]] = [
            [(rotate(past[0], past_rope), past[1])] for past in past_kv.unbind(0)
        ]
        if reference_kv is not None:
            for groups, known in zip(seen, reference_kv.unbind(0), strict=True):
                groups.insert(0, (known[0], known[1]))
        x, pairs = self.through_blocks(
            self.embed_target(sample, reference), modulation, rope, seen, prompt_kv
        )
        kept = torch.unflatten(torch.stack([part for pair in pairs for part in pair]), 0, (-1, 2))
        return self.predict(x, embedding, sample, timestep, reference), kept

    def whole(
        self,
        sample: Tensor,  # latent (1 - t) x0 + t noise
        timestep: Tensor,  # (B,) float32 t in [0, 1]
        rope: Rope,  # positions of the sample, which the reference shares
        reference: Tensor | None = None,  # latent
        prompt_kv: Tensor | None = None,  # (L, 2, B, H, M, D)
    ) -> Tensor:
        """Return x0 with full attention among all tokens: the public, uncached form of an IC-LoRA.

        Without a reference this is the text-to-video model. The reference's tokens are clean, so
        their timestep is 0.
        """
        if reference is None or not self.profile.in_context:
            embedding, modulation = self.condition_embedder(timestep)
            x = self.embed(sample) if reference is None else self.embed_target(sample, reference)
            x, _ = self.through_blocks(x, modulation, rope, (), prompt_kv)
            return self.predict(x, embedding, sample, timestep, reference)
        target, known = self.embed_target(sample, reference), self.embed_reference(reference)
        count = target.shape[1]
        each = timestep[:, None].expand(-1, count)
        each = torch.cat((each, torch.zeros_like(each)), 1)
        embedding, modulation = self.condition_embedder(each)
        both = (torch.cat((rope[0], rope[0])), torch.cat((rope[1], rope[1])))
        x, _ = self.through_blocks(torch.cat((target, known), 1), modulation, both, (), prompt_kv)
        return self.predict(x[:, :count], embedding[:, :count], sample, timestep, reference)
