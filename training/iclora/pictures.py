"""Converts latents to pictures for previews.

Legend: n consecutive chunks, C latent channels, f latent frames of a chunk, h w latent height and
width, T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmaster_live.model.autoencoders.films import decode_film
from realmaster_live.model.autoencoders.interface import Autoencoder, split
from realmaster_live.optional import require
from realmaster_live.training.iclora.base import Base

Painter = Callable[[Tensor], NDArray[np.uint8]]  # (n, C, f, h, w) or (n, C, h, w) -> (T, H, W, 3)


def painter_of(base: Base) -> Painter:
    """Return a function that draws latents, by the autoencoder's decoder or in false colours."""
    if base.autoencoder is not None:
        return partial(unguided, base.autoencoder)
    if (base.folder / "vae").is_dir():
        return wan_painter(base.folder / "vae")
    return partial(false_colours, stride=base.profile.latent_stride)


def unguided(autoencoder: Autoencoder, latents: Tensor) -> NDArray[np.uint8]:
    """Decode latents without guidance, because the rendered frames are not available."""
    frames = [split(chunk[None]) for chunk in latents]
    film = decode_film(autoencoder, torch.cat(frames, 1).transpose(1, 2), frames[0].shape[1])[0]
    levels: NDArray[np.uint8] = (
        (film * 127.5 + 127.5).clamp(0.0, 255.0).round().byte().cpu().numpy()
    )
    return levels


def wan_painter(folder: Path) -> Painter:
    """Return the decoder of diffusers' AutoencoderKLWan, whose first latent is one frame."""
    diffusers = require("diffusers", extra="training")
    device = torch.get_default_device()
    with torch.device("cpu"):
        decoder = diffusers.AutoencoderKLWan.from_pretrained(folder).eval()
    decoder.to(device).requires_grad_(False)
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1, 1)
        for values in (decoder.config.latents_mean, decoder.config.latents_std)
    )

    @torch.no_grad()
    def paint(latents: Tensor) -> NDArray[np.uint8]:
        whole = latents.movedim(1, 0).flatten(1, 2)[None].float()
        frames = decoder.decode(whole * std + mean).sample[0]
        levels = ((frames + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
        pixels: NDArray[np.uint8] = levels.movedim(0, -1).cpu().numpy()
        return pixels

    return paint


def false_colours(latents: Tensor, *, stride: int) -> NDArray[np.uint8]:  # -> (T, H, W, 3)
    """Show the first three channels as red, green and blue, scaled to two standard deviations."""
    frames = latents if latents.ndim == 4 else latents.movedim(2, 1).flatten(0, 1)
    levels = (frames[:, :3].float() * 64.0 + 128.0).clamp(0, 255).movedim(1, -1)
    big = levels.repeat_interleave(stride, 1).repeat_interleave(stride, 2)
    colours: NDArray[np.uint8] = big.to(torch.uint8).cpu().numpy()
    return colours


def grid(strips: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Return a grid of pictures: a row for each clip (T, H, W, 3), `columns` frames of it."""
    rows = []
    for frames in strips:
        ends = [len(frames) * (i + 1) // columns - 1 for i in range(columns)]
        rows.append(np.concatenate([frames[end] for end in ends], 1))
    return np.concatenate(rows)
