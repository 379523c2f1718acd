"""The interface between engines and autoencoders: chunks to latents and back, with a memory.

Legend: B batch, T frames of a chunk, H W pixels, C latent channels, F latent frames of a chunk, s
latent stride, M memory channels. A *latent* is (B, C, F, H / s, W / s), without F where it is 1,
as the transformer sees it. *Cells* are (B * T, 12, H / 2, W / 2): every 2 x 2 pixels are 12
channels over row, column and colour, in [-1, 1].

A *memory* is one tensor (B, M, H / 8, W / 8) with everything that a network keeps from chunk to
chunk: maps of other resolutions are folded into channels. It is all zero after a reset.

Every chunk holds T = F * `latent_frames` frames, so that one graph of fixed size serves all chunks.
If a network's first latent stands for fewer frames, the first chunk after a reset begins with
copies of its first frame instead of the missing ones, and what is decoded there is discarded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

CELL = 2  # pixels along one side of a cell
CELL_CHANNELS = 3 * CELL * CELL
MEMORY_STRIDE = 8  # pixels along one side of a position of a memory
Part = tuple[int, int]  # a map in a memory: its channels, and pixels along one side of a position


class Autoencoder(nn.Module, ABC):
    """A video autoencoder that processes a stream chunk by chunk.

    Attributes:
        latent_channels: C. latent_stride: s in pixels.
        latent_frames: number of frames in every latent frame but the first.
        first_latent_frames: number of frames in the first latent frame after a reset.
        encoder_memory: M of the encoder. decoder_memory: M of the decoder.
        guided: whether the decoder uses the rendered frames.
        encoder, decoder: the modules that do the work, which an engine may compile.
    """

    latent_channels: int
    latent_stride: int
    latent_frames: int
    first_latent_frames: int
    encoder_memory: int
    decoder_memory: int
    guided: bool
    encoder: nn.Module
    decoder: nn.Module

    @abstractmethod
    def encode(
        self, cells: Tensor, memory: Tensor, light: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return a chunk's latent, of any whole number of latent frames, and the new memory.

        `light` (B, L, H / s, W / s) is that of `model.light_guide`, for encoders that are guided by
        it; None where it is unknown.
        """

    @abstractmethod
    def decode(
        self,
        latent: Tensor,
        cells: Tensor | None,
        memory: Tensor,
        noise: Tensor | None = None,
        geometry: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the cells of a latent's frames, and the new memory.

        `cells` holds the rendered frames, or is None to decode without them. `noise` is the noise
        that the latent was denoised from, for decoders that draw precipitation. `geometry` (B * T,
        G, H / 2, W / 2) uint8 is that of `model.geometry_guide`, for decoders that are guided by
        it; None where it is unknown.
        """


def empty_memories(
    autoencoder: Autoencoder, batch: int, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Return the encoder's and the decoder's memory after a reset."""
    grid = height // MEMORY_STRIDE, width // MEMORY_STRIDE
    channels = autoencoder.encoder_memory, autoencoder.decoder_memory
    encoder, decoder = (torch.zeros(batch, count, *grid) for count in channels)
    return encoder, decoder


def memory_channels(parts: Sequence[Part]) -> int:
    """Return M, the channels of a memory that holds these maps."""
    return sum(channels * MEMORY_STRIDE**2 // stride**2 for channels, stride in parts)


def fold(parts: Sequence[tuple[Tensor, int]]) -> Tensor:  # (B, channels, H / stride, W / stride)
    """Return the memory that holds maps, given with their strides."""
    return torch.cat([_restride(x, stride, MEMORY_STRIDE) for x, stride in parts], 1)


def unfold(memory: Tensor, parts: Sequence[Part]) -> list[Tensor]:
    """Return the maps of a memory, in the order in which they were folded."""
    sizes = [memory_channels([part]) for part in parts]
    folded = torch.split(memory, sizes, 1)
    return [
        _restride(x, MEMORY_STRIDE, stride) for x, (_, stride) in zip(folded, parts, strict=True)
    ]


def started(memory: Tensor) -> Tensor:  # (B, M, H / 8, W / 8) -> (B, 1, 1, 1)
    """Return a memory's mark: 0 in a stream's first chunk, 1 in all others."""
    return memory[:, :1, :1, :1]


def mark(memory: Tensor) -> Tensor:  # (B, M, H / 8, W / 8) -> (B, 1, H / 8, W / 8)
    """Return the channel of ones that marks all chunks but the first."""
    return torch.ones_like(memory[:, :1])


def _restride(x: Tensor, stride: int, wanted: int) -> Tensor:
    """Change a map's stride by moving pixels between space and channels."""
    if stride == wanted:
        return x
    if stride < wanted:
        return nn.functional.pixel_unshuffle(x, wanted // stride)
    return nn.functional.pixel_shuffle(x, stride // wanted)


def planes(cells: Tensor, patch: int) -> Tensor:  # cells -> (B * T, 3 patch^2, H / patch, ...)
    """Return cells as pictures of stride 1 or 2, with channels over colour, row and column."""
    count, _, rows, columns = cells.shape
    by_colour = cells.reshape(count, CELL * CELL, 3, rows * columns).transpose(1, 2)
    pictures = by_colour.reshape(count, CELL_CHANNELS, rows, columns)
    return pictures if patch == CELL else nn.functional.pixel_shuffle(pictures, CELL)


def from_planes(patches: Tensor, patch: int) -> Tensor:
    """Return the cells of pictures of stride 1 or 2: the inverse of `planes`."""
    pictures = patches if patch == CELL else nn.functional.pixel_unshuffle(patches, CELL)
    count, _, rows, columns = pictures.shape
    by_place = pictures.reshape(count, 3, CELL * CELL, rows * columns).transpose(1, 2)
    return by_place.reshape(count, CELL_CHANNELS, rows, columns)


def join(latents: Tensor) -> Tensor:  # (B, F, C, h, w) -> (B, C, F, h, w), or without F
    """Return latent frames as one latent."""
    return latents[:, 0] if latents.shape[1] == 1 else latents.transpose(1, 2)


def split(latent: Tensor) -> Tensor:  # -> (B, F, C, h, w)
    """Return a latent's frames: the inverse of `join`."""
    return latent[:, None] if latent.ndim == 4 else latent.transpose(1, 2)
