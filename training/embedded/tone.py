"""Refits the decoder's tone layer to other truths, in closed form.

The tone layer turns each latent position into one gain and one offset a colour
(`GuidedDecoder.tones`). The picture is linear in its weights, so the best ones for given pairs are
ridge regression's: Hoerl and Kennard 1970, towards the weights that are there. It needs a pass over
a few clips instead of training, and nothing but tone and light can change.

Legend: C latent channels, F = 2 (C + 1) unknowns of a colour, H W pixels, T frames of a chunk.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.sampling import sigmas
from realmaster_live.model.vae import StreamingAutoencoder, to_cells
from realmaster_live.training.data import Clip
from realmaster_live.training.latents import Rollout, prompt_kv

COLOURS = 3
EVERY = 7  # pixels of a cell's channel are thinned out by this
MOST_CHUNKS = 3  # of each clip


@dataclass(frozen=True)
class Sums:
    """The normal equations of the three colours, float64."""

    unknowns: int
    squares: Tensor = field(init=False)  # (3, F, F)
    products: Tensor = field(init=False)  # (3, F)

    def __post_init__(self) -> None:
        """Begin with nothing."""
        zeros = torch.zeros(COLOURS, self.unknowns, self.unknowns, dtype=torch.float64)
        object.__setattr__(self, "squares", zeros)
        object.__setattr__(self, "products", zeros[..., 0].clone())

    def add(self, colour: int, rows: Tensor, missing: Tensor, weight: float = 1.0) -> None:
        """Add rows (N, F) and what each lacks (N,) of the truth with the present weights."""
        self.squares[colour] += weight * (rows.T @ rows)
        self.products[colour] += weight * (rows.T @ missing)

    def change(self, ridge: float) -> Tensor:
        """Return the change of the weights (3, F); `ridge` is relative to each unknown's square."""
        diagonal = torch.diagonal(self.squares, dim1=-2, dim2=-1)
        extra = torch.diag_embed(ridge * diagonal + 1e-9 * diagonal.mean(-1, keepdim=True))
        found: Tensor = torch.linalg.solve(self.squares + extra, self.products)
        return found


@torch.no_grad()
def chunks_of(
    autoencoder: StreamingAutoencoder, transformer: InContextTransformer, clip: Clip, prompt: str
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield a clip's first chunks: cells before the tone layer, the truth's, and features.

    Cells are (T, 12, H / 2, W / 2); features are the latents at every cell, and 1:
    (C + 1, H / 2, W / 2).
    """
    profile = transformer.profile
    toneless = copy.deepcopy(autoencoder)
    for parameter in toneless.decoder.tone.parameters():
        nn.init.zeros_(parameter)
    time, (height, width) = profile.chunk_frames, clip.size
    memories = [autoencoder.empty_memory(1, height, width) for _ in range(2)]
    rollout = Rollout(transformer, sigmas(profile.steps, profile.shift))
    pairs = prompt_kv(transformer, [prompt])
    stride = profile.latent_stride
    noise = torch.randn(
        (1, profile.latent_channels, height // stride, width // stride),
        generator=torch.Generator().manual_seed(0),
    )
    shown = clip.truth if clip.calm is None else clip.calm
    for start in range(0, min(len(clip) // time, MOST_CHUNKS) * time, time):
        render, truth = (
            to_cells(torch.from_numpy(np.array(film[start : start + time]))[None])
            for film in (clip.sim, shown)
        )
        reference, memories[0] = autoencoder.encode(render, memories[0])
        latent, _ = rollout.chunk(reference, noise, pairs)
        cells, memories[1] = toneless.decode(latent, render, memories[1])
        raw = latent * autoencoder.latents_std[:, None, None]
        raw = raw + autoencoder.latents_mean[:, None, None]
        every = nn.functional.interpolate(
            raw, scale_factor=stride / 2, mode="bilinear", align_corners=False
        )
        yield cells, truth, torch.cat((every, torch.ones_like(every[:, :1])), 1)[0]


@torch.no_grad()
def refit_tone(
    autoencoder: StreamingAutoencoder,
    transformer: InContextTransformer,
    clips: Sequence[Clip],
    *,
    ridge: float,
    kept: Sequence[tuple[str, float]] = (),
) -> None:
    """Replace the tone layer's weights by those that are best for the clips.

    Args:
        autoencoder: the one whose decoder is changed.
        transformer: makes the latents.
        clips: pairs, each under its own prompt.
        ridge: how strongly the weights are held where they are.
        kept: prompts that no clip shows, with weights: their pictures are held as they are.
    """
    tone = autoencoder.decoder.tone
    assert tone.bias is not None
    weights = torch.cat((tone.weight[:, :, 0, 0], tone.bias[:, None]), 1).double()  # (6, C + 1)
    present = torch.cat(weights.chunk(2), 1)  # (3, F)
    sums = Sums(present.shape[1])
    for clip in clips:
        for prompt, weight in ((clip.prompt, 1.0), *kept):
            learnt = prompt == clip.prompt
            for cells, truth, features in chunks_of(autoencoder, transformer, clip, prompt):
                thin = features.flatten(1)[:, ::EVERY].T.double()
                for channel in range(cells.shape[1]):
                    for frame in (0, len(cells) - 1):
                        own = cells[frame, channel].flatten()[::EVERY].double()
                        rows = torch.cat((own[:, None] * thin, thin), 1)
                        wanted = truth[frame, channel].flatten()[::EVERY].double()
                        colour = channel % COLOURS
                        lacking = wanted - own - rows @ present[colour]
                        sums.add(colour, rows, lacking if learnt else 0 * lacking, weight)
                if not learnt:
                    break
    gains, offsets = (present + sums.change(ridge)).chunk(2, 1)
    fitted = torch.cat((gains, offsets))
    tone.weight.copy_(fitted[:, :-1, None, None])
    tone.bias.copy_(fitted[:, -1])
