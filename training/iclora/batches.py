"""Batches of latent pairs as a pure function of (seed, step), each from clips of one shape.

They match what the live engine sees. Its sink holds the first chunks after a reset; their first
latent frame may stand for a single frame and has no frame before it. All later chunks come from the
middle of a stream. So a sample's sink is the beginning of a clip, and its other chunks come from
any later position. In a long run the sink shows another scene altogether; for a share of the
samples it is therefore taken from another clip of the same drive. Its rotary position is that of
the live engine, just older than the ring, regardless of its age.

Legend: n consecutive chunks, B samples, C latent channels, F latent frames of a clip, f of a chunk,
h w latent height and width, M tokens of a prompt. A chunk's latents are (B, C, f, h, w), or
(B, C, h, w) where a chunk is one latent frame, as the transformer takes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmaster_live.errors import PairError
from realmaster_live.model.profile import Profile
from realmaster_live.training.data import step_rng

SHAPE, SAMPLE = 20, 21  # ids of independent random streams
Shape = tuple[int, int, int, int]  # C, F, h, w


class LatentPair(Protocol):
    """The latents of a whole clip, rendered and photoreal."""

    @property
    def prompt(self) -> str:
        """Return the clip's prompt."""

    @property
    def reference(self) -> Tensor:
        """Return the render's latents (C, F, h, w), normalised."""

    @property
    def target(self) -> Tensor:
        """Return the truth's latents (C, F, h, w), normalised."""

    @property
    def text(self) -> Tensor | None:
        """Return the prompt's embedding (M, channels), or None without a text encoder."""


class LatentPairs(Protocol):
    """Clips to train on, accessed by number."""

    @property
    def shapes(self) -> Sequence[Shape]:
        """Return the shape of every clip's latents."""

    @property
    def weights(self) -> Sequence[float]:
        """Return every clip's relative sampling weight."""

    @property
    def drives(self) -> Sequence[str]:
        """Return the name of every clip's drive."""

    def read(self, index: int) -> LatentPair:
        """Return a clip's latents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentBatch:
    """Consecutive chunks of several clips, on torch's default device.

    Attributes:
        reference: (n, B, C, f, h, w) or (n, B, C, h, w) float32 of the render, normalised.
        target: the same shape, latents of the truth, normalised.
        prompts: one for each sample.
        text: (B, M, channels) embeddings of the prompts; None if the model learns its prompts.
        samples: global numbers of the samples in the run, which seed their random draws.
        first: for each sample, the index in its clip of the first chunk after the sink's.
    """

    reference: Tensor
    target: Tensor
    prompts: tuple[str, ...]
    text: Tensor | None
    samples: tuple[int, ...]
    first: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.prompts)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The clips of one shape: their numbers, and the cumulative sum of their weights."""

    indices: NDArray[np.int64]
    summed: NDArray[np.float64]

    def draw(self, rng: np.random.Generator) -> int:
        """Return a random clip's number."""
        place = np.searchsorted(self.summed, rng.random() * self.summed[-1], side="right")
        return int(self.indices[min(int(place), len(self.indices) - 1)])


class Batches:
    """Draws batches of a fixed size from clips of one shape each."""

    def __init__(
        self,
        pairs: LatentPairs,
        profile: Profile,
        *,
        seed: int,
        batch: int,
        chunks: int,
        sink_elsewhere: float = 0.0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Group the clips of at least `chunks` chunks by shape.

        `sink_elsewhere` is the share of samples whose sink comes from another clip of the same
        drive. `share` (i, n) selects the samples i, i + n, ... of each batch, for process i of n.

        Raises:
            PairError: the batch cannot be shared by n processes, or no clip is long enough.
        """
        if batch % share[1]:
            raise PairError(
                f"expected a batch that {share[1]} processes can share, got {batch}: make it a "
                f"multiple of {share[1]}"
            )
        self.pairs, self.profile, self.seed = pairs, profile, seed
        self.batch, self.chunks, self.share = batch, chunks, share
        self.sink, self.sink_elsewhere = min(profile.sink, chunks), sink_elsewhere
        self.buckets: dict[Shape, Bucket] = {}
        weights, shapes = np.asarray(pairs.weights, np.float64), pairs.shapes
        for shape in sorted({*shapes}):
            self._check(shape)
            indices = np.array([i for i, each in enumerate(shapes) if each == shape], np.int64)
            indices = indices[weights[indices] > 0]
            if len(indices) and self.chunks_of(shape) >= chunks:
                self.buckets[shape] = Bucket(indices, np.cumsum(weights[indices]))
        if not self.buckets:
            raise PairError(
                f"expected clips of at least {chunks} chunks of {profile.chunk_latents} latent "
                f"frames, got {len(shapes)} clips of shapes {sorted({*shapes})[:3]}: encode longer "
                "clips, or lower `chunks` in the recipe"
            )

    def chunks_of(self, shape: Shape) -> int:
        """Return the number of whole chunks in a clip."""
        return shape[1] // self.profile.chunk_latents

    def draw(self, step: int, *, from_start: bool = False) -> LatentBatch:
        """Return the batch of a step; `from_start` takes the first chunks of the clips."""
        totals = np.cumsum([bucket.summed[-1] for bucket in self.buckets.values()])
        place = step_rng(self.seed, step, SHAPE).random() * totals[-1]
        chosen = min(int(np.searchsorted(totals, place, side="right")), len(totals) - 1)
        shape = list(self.buckets)[chosen]
        own, processes = self.share
        samples = range(step * self.batch + own, (step + 1) * self.batch, processes)
        drawn = [self._sample(shape, number, from_start=from_start) for number in samples]
        texts = [pair.text for pair, _, _ in drawn]
        device = torch.get_default_device()
        latents = torch.stack([both for _, both, _ in drawn], 2).to(device)
        return LatentBatch(
            reference=latents[0],
            target=latents[1],
            prompts=tuple(pair.prompt for pair, _, _ in drawn),
            text=stack_texts(texts),
            samples=tuple(samples),
            first=tuple(first for _, _, first in drawn),
        )

    def _sample(
        self, shape: Shape, number: int, *, from_start: bool
    ) -> tuple[LatentPair, Tensor, int]:
        """Return a clip, its chunks (2, n, C, ...), and the index of the first after the sink."""
        rng = step_rng(self.seed, number, SAMPLE)
        index = self.buckets[shape].draw(rng)
        pair = self.pairs.read(index)
        first = self.sink + int(rng.integers(self.chunks_of(shape) - self.chunks + 1))
        first = self.sink if from_start else first
        sink_pair = pair
        if self.sink and not from_start and rng.random() < self.sink_elsewhere:
            sink_pair = self.pairs.read(self._other(shape, index, rng))
        parts = [
            self._cut(sink_pair, first=0, chunks=self.sink),
            self._cut(pair, first=first, chunks=self.chunks - self.sink),
        ]
        return pair, torch.cat(parts, 1), first

    def _cut(self, pair: LatentPair, *, first: int, chunks: int) -> Tensor:
        """Return consecutive chunks of both sides of a clip, (2, n, C, ...)."""
        both = torch.stack((pair.reference.float(), pair.target.float()))
        return cut(both, self.profile, first=first, chunks=chunks)

    def _other(self, shape: Shape, index: int, rng: np.random.Generator) -> int:
        """Return another clip of the same drive and shape, or the clip itself if there is none."""
        drives, indices = self.pairs.drives, self.buckets[shape].indices.tolist()
        others = [i for i in indices if i != index and drives[i] == drives[index]]
        return others[int(rng.integers(len(others)))] if others else index

    def _check(self, shape: Shape) -> None:
        """Raise PairError for latents whose shape does not fit the model."""
        profile = self.profile
        if shape[0] != profile.latent_channels or any(side % profile.patch for side in shape[2:]):
            raise PairError(
                f"expected latents of {profile.latent_channels} channels and sides that are "
                f"multiples of {profile.patch} for {profile.name}, got {shape}: encode the clips "
                "with this model's autoencoder"
            )


def cut(latents: Tensor, profile: Profile, *, first: int, chunks: int) -> Tensor:
    """Return consecutive chunks (..., n, C, f, h, w) of a clip's latents (..., C, F, h, w).

    If a chunk is one latent frame, there is no axis f.
    """
    size = profile.chunk_latents
    part = latents[..., first * size : (first + chunks) * size, :, :]
    chunked = torch.unflatten(part, -3, (chunks, size)).movedim(-4, -5)
    return chunked.squeeze(-3) if size == 1 else chunked


def stack_texts(texts: Sequence[Tensor | None]) -> Tensor | None:
    """Return prompts' embeddings (B, M, channels); None if there are none.

    Raises:
        PairError: only some clips have an embedding, or lengths differ.
    """
    known = [text for text in texts if text is not None]
    if not known:
        return None
    if len(known) < len(texts) or len({text.shape for text in known}) > 1:
        shapes = sorted({str(tuple(text.shape)) for text in known})
        raise PairError(
            f"expected an embedding of one length for every prompt, got {len(known)} of "
            f"{len(texts)} of shapes {', '.join(shapes)}: embed all prompts with the same encoder"
        )
    return torch.stack([text.float() for text in known]).to(torch.get_default_device())
