"""A layer that draws rain or snow over decoded frames, at places that the chunk's noise decides.

The positions of drops are random. The render does not contain them, and regression on a random
target learns its mean, which shows no drops at all. So the randomness is taken from the noise that
the diffusion model starts from: where the noise of a slot (a place within a latent position)
exceeds a threshold, there is a drop, drawn with that slot's stamp (a small kernel). A gate,
computed from the latents, decides how visible it is. Gates and stamps are learnt; the stamps are
initialized as streaks and flakes.

Legend: B samples, T frames of a latent, C latent channels, h w latent height and width, S slots,
K kinds, D pixels along one side of a latent position.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["drops", "flakes"]
KINDS: tuple[Kind, ...] = ("drops", "flakes")
GREY: dict[Kind, float] = {"drops": 205 / 127.5 - 1, "flakes": 240 / 127.5 - 1}  # in [-1, 1]
THRESHOLD: dict[Kind, float] = {"drops": 1.5, "flakes": 1.4}  # noise above it makes a drop or flake
RAMP = 0.3  # width in noise of the transition from no drop to a full one
GATE_BIAS = -4.0  # initial bias of the gates: sigmoid(-4) is 0.02
CELL = 2  # pixels along one side of a cell, the unit in which the decoder writes

Point = tuple[int, float, float]  # row, column, cover


def streak(slot: int, slots: int, side: int) -> list[Point]:
    """Return a drop's slanted streak, in pixels from the latent position's top left corner."""
    half = max(slots // 2, 1)
    left = (slot % half + 0.5) * side / half
    top = (slot // half) * (side // 2) + slot * 5 % (side // 2)
    length = side // 2 + 1 + slot * 7 % (side // 2)
    points: list[Point] = []
    for step in range(length):
        column = left - step / 6
        whole = int(column // 1)
        points += [(top + step, whole, 1 - column + whole), (top + step, whole + 1, column - whole)]
    return points


def flake(slot: int, slots: int, side: int) -> list[Point]:
    """Return a flake of one pixel or of four."""
    across = 4
    down = -(-slots // across)
    left = (slot % across) * side // across + slot * 3 % (side // across)
    top = (slot // across) * side // down + slot * 5 % (side // down)
    size = 2 if slot % 5 == 0 else 1
    return [(top + y, left + x, 1.0) for y in range(size) for x in range(size)]


def stamps(kind: Kind, slots: int, side: int) -> Tensor:  # (S, 3 D, 3 D)
    """Return each slot's kernel, which covers its latent position and the eight neighbours."""
    made = torch.zeros(slots, 3 * side, 3 * side)
    draw = streak if kind == "drops" else flake
    for slot in range(slots):
        for row, column, cover in draw(slot, slots, side):
            made[slot, side + row, side + int(column)] += cover
    return made


def stamp_weight(kind: Kind, slots: int, side: int) -> Tensor:  # (D * D, S, 3, 3)
    """Return the stamps as weights of a convolution from latent positions to D x D pixels each.

    The output channels run over row and column in a cell, then over the cells' rows and columns, as
    `pixel_shuffle` expects them.
    """
    cells = side // CELL
    parts = stamps(kind, slots, side).reshape(slots, 3, cells, CELL, 3, cells, CELL).flip(1, 4)
    # slot, neighbour row, cell row, row in cell, neighbour column, cell column, column in cell
    return parts.permute(3, 6, 2, 5, 0, 1, 4).reshape(side * side, slots, 3, 3)


def presence(noise: Tensor, threshold: Tensor) -> Tensor:
    """Return how far each slot holds a drop or flake, in [0, 1], for its noise."""
    return ((noise - threshold) / RAMP).clamp(0.0, 1.0)


def slots_of(noise: Tensor, frames: int) -> Tensor:  # (B, C, h, w) -> (B * T, S, h, w)
    """Distribute the noise's channels over the frames."""
    slots = noise.shape[1] // frames
    return torch.unflatten(noise[:, : slots * frames], 1, (frames, slots)).flatten(0, 1)


class Precipitation(nn.Module):
    """Composites drops and flakes over decoded frames; see the module."""

    def __init__(self, channels: int, side: int, frames: int) -> None:
        super().__init__()
        self.frames, self.cells = frames, side // CELL
        slots = channels // frames
        self.threshold = nn.Parameter(torch.tensor([THRESHOLD[kind] for kind in KINDS]))
        self.grey = nn.Parameter(torch.tensor([GREY[kind] for kind in KINDS]))
        self.stamp = nn.ModuleList(
            nn.Conv2d(slots, side * side, 3, padding=1, bias=False) for _ in KINDS
        )
        for kind, layer in zip(KINDS, self.stamp, strict=True):
            assert isinstance(layer, nn.Conv2d)
            with torch.no_grad():
                layer.weight.copy_(stamp_weight(kind, slots, side))
        self.gate = nn.Conv2d(channels, len(KINDS), 3, padding=1)
        nn.init.zeros_(self.gate.weight)
        assert self.gate.bias is not None
        nn.init.constant_(self.gate.bias, GATE_BIAS)

    def cover(self, kind: int, noise: Tensor) -> Tensor:  # -> (B * T, 4, H / 2, W / 2)
        """Return each pixel's coverage by a kind in [0, 1], before the gate."""
        present = presence(slots_of(noise, self.frames), self.threshold[kind])
        drawn = nn.functional.pixel_shuffle(self.stamp[kind](present), self.cells)
        return drawn.clamp(0.0, 1.0)

    def forward(
        self,
        frames: Tensor,  # cells (B * T, 12, H / 2, W / 2)
        latent: Tensor,  # (B, C, h, w)
        noise: Tensor,  # (B, C, h, w)
    ) -> Tensor:
        """Return the cells with precipitation composited over them."""
        gates = nn.functional.interpolate(
            torch.sigmoid(self.gate(latent)),
            scale_factor=float(self.cells),
            mode="bilinear",
            align_corners=False,
        )
        every = gates.repeat_interleave(self.frames, 0) if len(latent) > 1 else gates
        drops, flakes = (
            self.cover(kind, noise).to(frames.dtype) * every[:, kind : kind + 1].to(frames.dtype)
            for kind in range(len(KINDS))
        )
        clear = (1.0 - drops) * (1.0 - flakes)  # flakes lie over drops
        drawn = self.grey[0] * (drops - drops * flakes) + self.grey[1] * flakes
        pixels = torch.unflatten(frames, 1, (-1, 3))  # of a cell, and colours
        return (pixels * clear[:, :, None] + drawn[:, :, None]).flatten(1, 2)
