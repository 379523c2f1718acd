"""Augments renders with a random look: the tone, colour and sharpness of another game.

A model trained on one game overfits to its colour grading. Domain randomisation (Tobin
et al. 2017) of the render, with an unchanged truth, makes it rely on what is invariant.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

GREY = (0.299, 0.587, 0.114)  # Rec. 601 luma of sRGB


def randomize_look(frames: Tensor, rng: np.random.Generator) -> Tensor:  # (T, H, W, 3) uint8, both
    """Return the frames with a random look, the same for all of them."""
    picture = frames.float() / 255.0
    picture = sharpen(picture, float(rng.uniform(-0.6, 1.0)))
    picture = picture.clamp(1e-4, 1.0) ** float(np.exp(rng.uniform(-0.35, 0.35)))
    grey = (picture * torch.tensor(GREY, device=frames.device)).sum(-1, keepdim=True)
    picture = grey + (picture - grey) * float(rng.uniform(0.4, 1.6))
    middle = picture.mean()
    picture = middle + (picture - middle) * float(rng.uniform(0.75, 1.3))
    gains = rng.uniform(0.92, 1.08, 3).astype(np.float32)
    picture = picture * torch.from_numpy(gains).to(frames.device) + float(rng.uniform(-0.06, 0.06))
    return (picture.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)


def sharpen(picture: Tensor, amount: float) -> Tensor:  # (T, H, W, 3)
    """Return the pictures with an unsharp mask of a 3 x 3 mean; a negative `amount` blurs."""
    planes = picture.movedim(-1, 1)
    padded = functional.pad(planes, (1, 1, 1, 1), mode="replicate")
    mean = functional.avg_pool2d(padded, 3, stride=1).movedim(1, -1)
    return picture + amount * (picture - mean)
