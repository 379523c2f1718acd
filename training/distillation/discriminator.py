"""A discriminator between noised latents of the truth and of the student.

Legend: B samples, C latent channels, T latent frames in order, h w latent height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from realmaster_live.model.dit import timestep_sinusoids

TIME_CHANNELS = 32  # channels of the timestep's embedding
GROUP = 8  # channels per group of GroupNorm


class ModulatedResidual(nn.Module):
    """A residual block: a convolution modulated by the timestep, with a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(width // GROUP, width)
        self.conv = nn.Conv3d(width, width, 3, padding=1)
        self.scale = nn.Linear(TIME_CHANNELS, width)

    def forward(self, x: Tensor, waves: Tensor) -> Tensor:  # (B, W, T, h, w), (B, TIME_CHANNELS)
        """Return x plus the branch."""
        gain = 1.0 + self.scale(waves)[..., None, None, None]
        out: Tensor = x + self.conv(nn.functional.leaky_relu(self.norm(x) * gain, 0.2))
        return out


class LatentDiscriminator(nn.Module):
    """A small network over space and time, conditioned on the render's latents.

    Its input is all chunks of a sample at one noise level (Diffusion-GAN, Wang et al. 2023, section
    3.1), so that it also penalizes wrong motion and flicker. It outputs one logit for each patch.
    """

    def __init__(self, channels: int, *, width: int = 64, depth: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv3d(2 * channels, width, 3, padding=1)
        self.judges = nn.ModuleList(ModulatedResidual(width) for _ in range(depth))
        self.head = nn.Conv3d(width, 1, 1)

    def forward(
        self,
        x_t: Tensor,  # (B, C, T, h, w)
        reference: Tensor,  # (B, C, T, h, w)
        t: Tensor,  # (B,)
    ) -> Tensor:  # (B, T, h, w)
        """Return logits, high for the truth."""
        waves = timestep_sinusoids(t, TIME_CHANNELS)
        x = self.stem(torch.cat((x_t, reference), 1))
        for judge in self.judges:
            x = judge(x, waves)
        out: Tensor = self.head(nn.functional.leaky_relu(x, 0.2))
        return out[:, 0]
