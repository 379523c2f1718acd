"""In-context attention: which tokens attend to which, without a mask.

Reference queries attend to the reference only. Target queries attend to the key groups
{reference, target, past}, concatenated: what the past holds defines what is visible.

Legend: B batch, H heads, N tokens of a chunk, S rows of a store, D channels of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from realmaster_live.model.attention import Kernel, sdpa
from realmaster_live.model.profile import Profile
from realmaster_live.model.rope import rope_tables

Rope = tuple[Tensor, Tensor]  # cos and sin, each (N, D / 2) float32
Pair = tuple[Tensor, Tensor]  # keys and values, each (B, H, N, D)
Rows = tuple[Tensor, Tensor]  # keys and values in a store, each (B, S, H, D)


def rope_at(
    profile: Profile, times: Sequence[float], rows: int, columns: int, frames: int | None = None
) -> Rope:
    """Return the rotary tables of chunks at some times, on the host.

    `frames` are a chunk's latent frames, by default the profile's.
    """
    cos, sin = rope_tables(
        times,
        rows,
        columns,
        widths=profile.rope_widths,
        theta=profile.rope_theta,
        frames=profile.chunk_latents if frames is None else frames,
    )
    return torch.from_numpy(cos), torch.from_numpy(sin)


def rotate(x: Tensor, rope: Rope) -> Tensor:  # (B, H, N, D) -> (B, H, N, D)
    """Rotate neighbouring channel pairs by their positions' angles, as Wan does (RoFormer eq. 34).

    The products are computed in float32; the result has the dtype of `x`.
    Nothing is written in place, so it exports without scatter.
    """
    if torch.compiler.is_exporting():  # one node in opset 23 instead of eleven
        tables = [table.expand(x.shape[0], -1, -1) for table in rope]
        rotated: Tensor = torch.onnx.ops.rotary_embedding(x, *tables, interleaved=True)
        return rotated
    cos, sin = rope
    even, odd = torch.unflatten(x.float(), -1, (-1, 2)).unbind(-1)
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1)
    return turned.flatten(-2).to(x.dtype)


def attend(
    query: Tensor,  # (B, H, N, D)
    groups: Sequence[Pair],
    kernel: Kernel = sdpa,
) -> Tensor:  # (B, H, N, D)
    """Return attention of the queries over the keys of all groups."""
    if len(groups) == 1:
        return kernel(query, *groups[0])
    key = torch.cat([group[0] for group in groups], 2)
    value = torch.cat([group[1] for group in groups], 2)
    return kernel(query, key, value)


def attend_stored(
    query: Tensor,  # (B, H, N, D)
    own: Pair,  # keys, rotated, and values
    store: Rows,  # S >= N
    kernel: Kernel = sdpa,
) -> Tensor:  # (B, H, N, D)
    """Write a group's keys and values into the first N rows of a store; attend to all S rows.

    The other rows hold the other groups, so nothing is concatenated. Rows are tokens, which is the
    layout that projections write and that fused attention reads.
    """
    write_pair(own, store)
    keys, values = (part.transpose(1, 2) for part in store)
    return kernel(query, keys, values)


def write_pair(own: Pair, store: Rows) -> None:
    """Write a group's keys and values into the first rows of a store, in the store's dtype.

    Keys and values are two tensors, because compilers only write in place into a view of an input
    if it is the input's only view.
    """
    for part, place in zip(own, store, strict=True):
        place[:, : part.shape[2]].copy_(part.transpose(1, 2))


class RMSNorm(nn.RMSNorm):
    """RMSNorm over the whole width, in the input's dtype under autocast."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x / rms(x) * weight."""
        assert self.weight is not None
        weight = self.weight.to(x.dtype)
        return nn.functional.rms_norm(x, self.normalized_shape, weight, self.eps)


class Attention(nn.Module):
    """One attention layer's projections; parameters are named as in diffusers' WanAttention.

    Attributes:
        kernel: what computes the attention itself; see `model.attention`.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.kernel: Kernel = sdpa
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.ModuleList([nn.Linear(width, width), nn.Identity()])
        self.norm_q = RMSNorm(width, eps=1e-6)
        self.norm_k = RMSNorm(width, eps=1e-6)

    def split(self, x: Tensor) -> Tensor:  # (B, N, H * D) -> (B, H, N, D)
        """Split the width into heads."""
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(1, 2)

    def key_value(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (B, N, W) -> 2 x (B, H, N, D)
        """Return normalised, not yet rotated keys, and values."""
        return self.split(self.norm_k(self.to_k(x))), self.split(self.to_v(x))

    def query(self, x: Tensor) -> Tensor:  # (B, N, W) -> (B, H, N, D)
        """Return normalised, not yet rotated queries."""
        return self.split(self.norm_q(self.to_q(x)))

    def out(self, x: Tensor) -> Tensor:  # (B, H, N, D) -> (B, N, W)
        """Merge the heads and project."""
        out: Tensor = self.to_out[0](x.transpose(1, 2).flatten(2))
        return out
