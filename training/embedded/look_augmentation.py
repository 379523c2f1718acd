"""Augments renders with a random look: the tone, colour, air and sharpness of another game.

A model trained on one game overfits to its colour grading. Domain randomisation (Tobin
et al. 2017) of the render, with an unchanged truth, makes it rely on what is invariant.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

GREY = (0.299, 0.587, 0.114)  # Rec. 601 luma of sRGB
VEILED_SHARE = 0.3  # of looks that have haze; as many are drawn at another size


def randomize_look(frames: Tensor, rng: np.random.Generator) -> Tensor:  # (T, H, W, 3) uint8, both
    """Return the frames with a random look, the same for all of them."""
    picture = frames.float() / 255.0
    if rng.random() < VEILED_SHARE:
        picture = resample(picture, float(rng.uniform(0.6, 0.95)))
    picture = sharpen(picture, float(rng.uniform(-0.6, 1.0)))
    gammas = np.exp(rng.uniform(-0.35, 0.35) + rng.uniform(-0.06, 0.06, 3)).astype(np.float32)
    picture = picture.clamp(1e-4, 1.0) ** torch.from_numpy(gammas).to(frames.device)
    picture = respond(picture, float(rng.uniform(-0.5, 0.5)))
    grey = (picture * torch.tensor(GREY, device=frames.device)).sum(-1, keepdim=True)
    picture = grey + (picture - grey) * float(rng.uniform(0.4, 1.6))
    middle = picture.mean()
    picture = middle + (picture - middle) * float(rng.uniform(0.75, 1.3))
    if rng.random() < VEILED_SHARE:
        picture = veil(picture, rng)
    gains = rng.uniform(0.92, 1.08, 3).astype(np.float32)
    picture = picture * torch.from_numpy(gains).to(frames.device) + float(rng.uniform(-0.06, 0.06))
    return (picture.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)


def sharpen(picture: Tensor, amount: float) -> Tensor:  # (T, H, W, 3)
    """Return the pictures with an unsharp mask of a 3 x 3 mean; a negative `amount` blurs."""
    planes = picture.movedim(-1, 1)
    padded = functional.pad(planes, (1, 1, 1, 1), mode="replicate")
    mean = functional.avg_pool2d(padded, 3, stride=1).movedim(1, -1)
    return picture + amount * (picture - mean)


def respond(picture: Tensor, steepness: float) -> Tensor:  # (T, H, W, 3) in [0, 1]
    """Return the pictures through an S-shaped camera response; a negative `steepness` flattens."""
    bent = picture * picture * (3.0 - 2.0 * picture)
    return picture + steepness * (bent - picture)


def resample(picture: Tensor, scale: float) -> Tensor:  # (T, H, W, 3)
    """Return the pictures as a game draws them at `scale` of the size and enlarges them."""
    planes = picture.movedim(-1, 1)
    _, _, height, width = planes.shape
    small = functional.interpolate(planes, scale_factor=scale, mode="bilinear", antialias=False)
    large = functional.interpolate(small, (height, width), mode="bilinear")
    return large.movedim(1, -1)


def veil(picture: Tensor, rng: np.random.Generator) -> Tensor:  # (T, H, W, 3)
    """Return the pictures with haze: densest at a random height, which a horizon often has."""
    height = picture.shape[1]
    row = torch.linspace(0.0, 1.0, height, device=picture.device)
    centre, spread = float(rng.uniform(0.3, 0.6)), float(rng.uniform(0.08, 0.4))
    amount = float(rng.uniform(0.05, 0.35)) * torch.exp(-(((row - centre) / spread) ** 2))
    colour = (rng.uniform(0.5, 0.9) + rng.uniform(-0.05, 0.05, 3)).astype(np.float32)
    return picture + (torch.from_numpy(colour).to(picture.device) - picture) * amount[:, None, None]
