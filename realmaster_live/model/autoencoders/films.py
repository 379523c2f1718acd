"""Encodes and decodes whole films chunk by chunk.

Legend: B batch, T frames, H W pixels, C latent channels, F latent frames, h w latent positions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from realmaster_live.model.autoencoders.interface import Autoencoder, empty_memories, join, split
from realmaster_live.model.vae import to_cells, to_pixels


def film_length(autoencoder: Autoencoder, latents: int) -> int:
    """Return the number of frames in a film of `latents` latent frames."""
    return (latents - 1) * autoencoder.latent_frames + autoencoder.first_latent_frames


@torch.no_grad()
def encode_film(autoencoder: Autoencoder, film: Tensor, each: int) -> Tensor:
    """Return the latents (C, F, h, w) of frames (T, H, W, 3) uint8, in chunks of `each` latents.

    Frames after the last whole chunk are not encoded.
    """
    missing = autoencoder.latent_frames - autoencoder.first_latent_frames
    padded = torch.cat((film[:1].expand(missing, -1, -1, -1), film))
    size = each * autoencoder.latent_frames
    memory, _ = (x.to(film.device) for x in empty_memories(autoencoder, 1, *film.shape[1:3]))
    latents = []
    for chunk in torch.split(padded[: len(padded) // size * size], size):
        latent, memory = autoencoder.encode(to_cells(chunk[None]), memory)
        latents.append(split(latent)[0])
    return torch.cat(latents).transpose(0, 1)


@torch.no_grad()
def decode_film(autoencoder: Autoencoder, latents: Tensor, each: int) -> Tensor:
    """Return frames (B, T, H, W, 3) in [-1, 1] from latents (B, C, F, h, w), without a render."""
    batch, _, _, rows, columns = latents.shape
    stride = autoencoder.latent_stride
    sides = rows * stride, columns * stride
    _, memory = (x.to(latents.device) for x in empty_memories(autoencoder, batch, *sides))
    frames = []
    for chunk in torch.split(latents, each, 2):
        cells, memory = autoencoder.decode(join(chunk.transpose(1, 2)), None, memory)
        frames.append(to_pixels(cells.float(), len(cells) // batch))
    missing = autoencoder.latent_frames - autoencoder.first_latent_frames
    return torch.cat(frames, 1)[:, missing:]
