"""What falls, rain or snow, as a function of the noise that a chunk starts from.

Where a drop hangs is chance. No render tells it, and regression on chance learns its mean, which is
nothing. So in training the drops are drawn into the calm truth where the chunk's own noise says:
then there is something to learn, and other noise gives other drops.

Legend: B samples, T frames of a chunk, C latent channels, h w latent height and width, S slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Kind = Literal["drops", "flakes"]
Point = tuple[int, float, float]  # row, column, cover
RAMP = 0.3  # standard deviations of noise from nothing to a whole drop


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one kind is drawn: grey level, opacity, and above which noise there is one."""

    grey: float  # in [-1, 1]
    opacity: float
    threshold: float  # standard deviations


LOOKS: dict[Kind, Look] = {
    "drops": Look(grey=205 / 127.5 - 1, opacity=0.2, threshold=1.5),
    "flakes": Look(grey=240 / 127.5 - 1, opacity=0.6, threshold=1.4),
}
FALLING: dict[str, Kind] = {"rain": "drops", "snow": "flakes"}  # prompt -> what falls


def streak(slot: int, slots: int, stride: int) -> list[Point]:
    """Return a drop's slanted trace; the place has its origin at 0, 0."""
    half = max(slots // 2, 1)
    left = (slot % half + 0.5) * stride / half
    top = (slot // half) * (stride // 2) + slot * 5 % (stride // 2)
    length = stride // 2 + 1 + slot * 7 % (stride // 2)
    points: list[Point] = []
    for step in range(length):
        column = left - step / 6
        whole = int(column // 1)
        points += [(top + step, whole, 1 - column + whole), (top + step, whole + 1, column - whole)]
    return points


def flake(slot: int, slots: int, stride: int) -> list[Point]:
    """Return a flake of one pixel, or of four."""
    across = 4
    down = -(-slots // across)
    left = (slot % across) * stride // across + slot * 3 % (stride // across)
    top = (slot // across) * stride // down + slot * 5 % (stride // down)
    size = 2 if slot % 5 == 0 else 1
    return [(top + y, left + x, 1.0) for y in range(size) for x in range(size)]


@cache
def stamps(kind: Kind, slots: int, stride: int) -> Tensor:  # (S, 1, 3 * stride, 3 * stride)
    """Return what each slot of a latent position draws into it and its neighbours."""
    made = torch.zeros(slots, 1, 3 * stride, 3 * stride)
    draw = streak if kind == "drops" else flake
    for slot in range(slots):
        for row, column, cover in draw(slot, slots, stride):
            made[slot, 0, stride + row, stride + int(column)] += cover
    return made


def opacity(
    noise: Tensor,  # (B, C, h, w) standard normal
    kind: Kind,
    *,
    frames: int,
    stride: int,
) -> Tensor:  # (B, T, h * stride, w * stride) in [0, 1]
    """Return how much of each pixel is drop or flake.

    The channels are dealt out to the frames, and a frame's channels are slots: places within a
    latent position where something hangs if the noise is high enough.
    """
    look, slots = LOOKS[kind], noise.shape[1] // frames
    there = ((noise[:, : slots * frames] - look.threshold) / RAMP).clamp(0.0, 1.0)
    each = torch.unflatten(there, 1, (frames, slots)).flatten(0, 1)
    drawn = functional.conv_transpose2d(
        each, stamps(kind, slots, stride).to(each), stride=stride, padding=stride
    )
    return torch.unflatten(drawn[:, 0].clamp(0.0, 1.0) * look.opacity, 0, (-1, frames))


def with_falling(
    calm: Tensor,  # (B, T, H, W, 3) in [-1, 1]
    cover: Tensor,  # (B, T, H, W) from `opacity`
    kind: Kind,
) -> Tensor:  # (B, T, H, W, 3)
    """Return pictures with what falls drawn over them."""
    return calm + (LOOKS[kind].grey - calm) * cover[..., None]
