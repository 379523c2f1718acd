"""A head after a decoder that restores geometry, paint and lights from the render.

A tiny decoder sees latents alone, which lack thin lines, plates and lamps. Every pixel of the
head is the decoded pixel times a gain, plus the rendered pixel times a gain, plus a
residual, all predicted at half resolution. Light and tint come from the latents, as one gain and
one offset per colour and latent position (after Gharbi et al. 2017, section 3.2). The head has no
memory, and before training it changes nothing.

Legend: N pictures, C latent channels. For *cells* see `interface`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from realmaster_live.model.autoencoders.interface import CELL, CELL_CHANNELS
from realmaster_live.model.vae import Fold, Residual

HALF, FINE = 24, 48  # channels at half and at a quarter of the resolution
PREFIX = "head."  # prefix of its tensors in a checkpoint


class RenderHead(nn.Module):
    """Corrects decoded pictures by the rendered ones."""

    def __init__(
        self, latent_channels: int, latent_stride: int, half: int = HALF, fine: int = FINE
    ) -> None:
        super().__init__()
        self.stride = latent_stride
        self.below = Fold(2 * CELL_CHANNELS, fine)
        self.latent = nn.Conv2d(latent_channels, fine, 1)
        self.deep = Residual(fine)
        self.spread = nn.Conv2d(fine, 4 * half, 1)
        self.beside = nn.Conv2d(2 * CELL_CHANNELS, half, 3, padding=1)
        self.mix = nn.Conv2d(half, half, 3, padding=1)
        self.rest = nn.Conv2d(half, CELL_CHANNELS, 3, padding=1)
        self.decoded_gain = nn.Conv2d(half, CELL_CHANNELS, 1)
        self.render_gain = nn.Conv2d(half, CELL_CHANNELS, 1)
        self.tone = nn.Conv2d(latent_channels, 6, 1)
        for layer in (self.rest, self.decoded_gain, self.render_gain, self.tone):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, decoded: Tensor, render: Tensor, latents: Tensor) -> Tensor:
        """Return the corrected cells of N pictures; `latents` (N, C, h, w) has one per picture."""
        both = torch.cat((decoded, render), 1)
        seen = nn.functional.interpolate(
            self.latent(latents), scale_factor=self.stride / (2 * CELL), mode="nearest"
        )
        x = self.deep(torch.relu(self.below(both) + seen))
        x = nn.functional.pixel_shuffle(self.spread(torch.relu(x)), 2)
        x = torch.relu(self.mix(torch.relu(x + self.beside(both))))
        answer = decoded + decoded * self.decoded_gain(x) + render * self.render_gain(x)
        answer = answer + self.rest(x)
        smooth = nn.functional.interpolate(
            self.tone(latents), scale_factor=self.stride / CELL, mode="bilinear"
        )
        gain, offset = (part.repeat(1, CELL * CELL, 1, 1) for part in smooth.chunk(2, 1))
        corrected: Tensor = answer + answer * gain + offset
        return corrected


def head_of(tensors: Mapping[str, Tensor], latent_stride: int) -> RenderHead | None:
    """Return the head for a checkpoint's tensors, without loading them; None without a head."""
    latent, mix = (tensors.get(f"{PREFIX}{name}.weight") for name in ("latent", "mix"))
    if latent is None or mix is None:
        return None
    return RenderHead(latent.shape[1], latent_stride, half=mix.shape[0], fine=latent.shape[0])
