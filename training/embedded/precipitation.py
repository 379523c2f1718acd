"""Composites drops or flakes over the calm truth, at the places of `model.precipitation`.

Legend: B samples, K chunks, T frames of a chunk, C latent channels, h w latent height and width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from realmaster_live.model.precipitation import GREY, THRESHOLD, Kind, presence, slots_of, stamps

OPACITY: dict[Kind, float] = {"drops": 0.2, "flakes": 0.6}
PRECIPITATION: dict[str, Kind] = {"rain": "drops", "snow": "flakes"}  # prompt -> kind


def opacity(
    noise: Tensor,  # (B, C, h, w) standard normal
    kind: Kind,
    *,
    frames: int,
    stride: int,
) -> Tensor:  # (B, T, h * stride, w * stride) in [0, 1]
    """Return the opacity of drops or flakes at each pixel."""
    present = presence(slots_of(noise, frames), torch.tensor(THRESHOLD[kind]))
    weight = stamps(kind, present.shape[1], stride)[:, None].to(present)
    drawn = torch.nn.functional.conv_transpose2d(present, weight, stride=stride, padding=stride)
    return torch.unflatten(drawn[:, 0].clamp(0.0, 1.0) * OPACITY[kind], 0, (-1, frames))


def with_precipitation(
    calm: Tensor,  # (B, T, H, W, 3) in [-1, 1]
    cover: Tensor,  # (B, T, H, W) from `opacity`
    kind: Kind,
) -> Tensor:  # (B, T, H, W, 3)
    """Return the pictures with drops or flakes composited over them."""
    return calm + (GREY[kind] - calm) * cover[..., None]


def draw_precipitation(
    calm: Tensor,  # (B, K * T, H, W, 3) in [-1, 1]
    noise: Tensor,  # (K, B, C, h, w)
    prompts: Sequence[str],
    frames: int,
) -> tuple[Tensor, Tensor]:
    """Return the pictures with their prompts' precipitation, and its opacity (B, K * T, H, W)."""
    stride = calm.shape[2] // noise.shape[-2]
    pictures, covers = calm.clone(), calm.new_zeros(calm.shape[:-1])
    for index, prompt in enumerate(prompts):
        if kind := PRECIPITATION.get(prompt):
            each = opacity(noise[:, index], kind, frames=frames, stride=stride)
            covers[index] = each.flatten(0, 1)
            pictures[index] = with_precipitation(calm[index], covers[index], kind)
    return pictures, covers
