"""Latents of synthetic clips: the target is the reference through a fixed mixture of channels."""

from dataclasses import dataclass

import torch

from realmaster_live.model.checkpoint import save_checkpoint
from realmaster_live.model.profile import TINY
from realmaster_live.model.random_weights import random_networks


@dataclass(frozen=True)
class LatentClip:
    prompt: str
    reference: torch.Tensor  # (C, F, h, w)
    target: torch.Tensor
    text: torch.Tensor | None = None


class LatentClips:
    """Clips of one or several shapes in memory, as the trainer wants them."""

    def __init__(self, clips):
        self.clips = clips
        self.shapes = [tuple(clip.reference.shape) for clip in clips]
        self.weights = [1.0] * len(clips)

    def read(self, index):
        return self.clips[index]


def make_clips(count, *, seed, channels=8, frames=6, sizes=((4, 6),), prompts=("as simulated",),
               text=None):  # fmt: skip
    rng = torch.Generator().manual_seed(seed)
    mixture = torch.linalg.qr(
        torch.randn(channels, channels, generator=torch.Generator().manual_seed(99))
    )[0]
    clips = []
    for index in range(count):
        rows, columns = sizes[index % len(sizes)]
        still = torch.randn(channels, 1, rows, columns, generator=rng)
        reference = still + 0.2 * torch.randn(channels, frames, rows, columns, generator=rng)
        target = 0.7 * reference + 0.5 * torch.einsum("dc,cfhw->dfhw", mixture, reference)
        clips.append(LatentClip(prompts[index % len(prompts)], reference, target, text))
    return LatentClips(clips)


def write_base(folder, profile=TINY, seed=0):
    """Write a checkpoint of random weights in which every part has a say."""
    autoencoder, *transformers = random_networks(profile, torch.device("cpu"), seed=seed)
    save_checkpoint(folder, autoencoder, *transformers)
    return folder
