"""Whole films through an autoencoder, a chunk after another.

Legend: B batch, T frames, H W pixels, C latent channels, F latent frames, h w latent positions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from realmaster_live.model.autoencoders.interface import Autoencoder, empty_memories, join, split
from realmaster_live.model.vae import to_cells, to_pixels


def film_length(autoencoder: Autoencoder, latents: int) -> int:
    """Return the frames that a film of so many latents has."""
    return (latents - 1) * autoencoder.latent_frames + autoencoder.first_latent_frames


@torch.no_grad()
def encode_film(autoencoder: Autoencoder, film: Tensor, each: int) -> Tensor:
    """Return the latents (C, F, h, w) of frames (T, H, W, 3) uint8, encoded `each` at a time.

    Frames behind the last whole chunk are not encoded.
    """
    short = autoencoder.latent_frames - autoencoder.first_latent_frames
    whole = torch.cat((film[:1].expand(short, -1, -1, -1), film))
    size = each * autoencoder.latent_frames
    memory, _ = (x.to(film.device) for x in empty_memories(autoencoder, 1, *film.shape[1:3]))
    found = []
    for chunk in torch.split(whole[: len(whole) // size * size], size):
        latent, memory = autoencoder.encode(to_cells(chunk[None]), memory)
        found.append(split(latent)[0])
    return torch.cat(found).transpose(0, 1)


@torch.no_grad()
def decode_film(autoencoder: Autoencoder, latents: Tensor, each: int) -> Tensor:
    """Return the frames (B, T, H, W, 3) in [-1, 1] of latents (B, C, F, h, w), without a render."""
    batch, _, _, rows, columns = latents.shape
    stride = autoencoder.latent_stride
    sides = rows * stride, columns * stride
    _, memory = (x.to(latents.device) for x in empty_memories(autoencoder, batch, *sides))
    found = []
    for chunk in torch.split(latents, each, 2):
        cells, memory = autoencoder.decode(join(chunk.transpose(1, 2)), None, memory)
        found.append(to_pixels(cells.float(), len(cells) // batch))
    short = autoencoder.latent_frames - autoencoder.first_latent_frames
    return torch.cat(found, 1)[:, short:]
