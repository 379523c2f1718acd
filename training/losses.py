"""Losses as pure functions of float tensors; every mean is over all elements.

Legend: B batch, T frames, H W pixels; an `error` is prediction minus truth, of pictures
(B, T, H, W, 3) in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

TINY = 1e-8  # added to a length, so that features of zero stay zero


def l1(error: Tensor) -> Tensor:
    """Return mean |error|."""
    return error.abs().mean()


def gradient_l1(error: Tensor) -> Tensor:  # (B, T, H, W, 3)
    """Return the mean |horizontal| plus the mean |vertical| neighbour difference of the error.

    It penalizes blurred edges, which hardly affect `l1` (Mathieu et al. 2016, eq. 6, alpha 1).
    """
    across = (error[:, :, :, 1:] - error[:, :, :, :-1]).abs().mean()
    down = (error[:, :, 1:] - error[:, :, :-1]).abs().mean()
    return across + down


def temporal_l1(error: Tensor) -> Tensor:  # (B, T, H, W, 3)
    """Return the mean |change| of the error from frame to frame, which penalizes flicker."""
    return (error[:, 1:] - error[:, :-1]).abs().mean()


def light_l1(error: Tensor, size: int = 32) -> Tensor:  # (B, T, H, W, 3)
    """Return the mean |change| from frame to frame of the error's means of `size` x `size` areas.

    It is the step of the light beyond the truth's: what shows as a pulse where a chunk begins and
    the light is guessed anew, and what `temporal_l1` hardly sees among the changes of detail. The
    whole picture's mean counts as much as the areas'.
    """
    batch, time, height, width, _ = error.shape
    planes = error.flatten(0, 1).movedim(-1, 1)
    areas = functional.avg_pool2d(planes, (min(size, height), min(size, width)))
    areas = torch.unflatten(areas, 0, (batch, time))
    steps = areas[:, 1:] - areas[:, :-1]
    return steps.abs().mean() + steps.mean((-2, -1)).abs().mean()


def pyramid_l1(error: Tensor, levels: int = 3) -> Tensor:  # (B, T, H, W, 3)
    """Return the sum over `levels` halvings of the mean |2 x 2 average| of the error.

    Large-scale errors of tone and colour count once at every level.
    """
    error = error.flatten(0, 1).movedim(-1, 1)
    total = error.new_zeros(())
    for _ in range(levels):
        error = functional.avg_pool2d(error, 2)
        total = total + error.abs().mean()
    return total


def chroma_l1(error: Tensor, size: int = 4) -> Tensor:  # (B, T, H, W, 3)
    """Return the mean |error minus its mean over the channels| of size x size averages.

    Brightness dominates the other losses: without this one, colour tints are learnt last.
    """
    pooled = functional.avg_pool2d(error.flatten(0, 1).movedim(-1, 1), size)
    return (pooled - pooled.mean(1, keepdim=True)).abs().mean()


def feature_distance(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Return an LPIPS-style distance of feature maps, each (N, C, h, w).

    Channels are normalised to unit length at every place; squared differences are summed over
    channels, averaged over places, and summed over the maps (Zhang et al. 2018, eq. 1, with all
    channel weights 1: not comparable with the official LPIPS).
    """
    distances = [unit_distance(a, b).mean() for a, b in zip(left, right, strict=True)]
    return torch.stack(distances).sum()


def unit_distance(a: Tensor, b: Tensor) -> Tensor:  # (N, C, h, w) twice -> (N, h, w)
    """Return the sum of squared differences of `unit(a)` and `unit(b)`, without making them."""
    one, other = (1.0 / (torch.linalg.vector_norm(x, dim=1) + TINY) for x in (a, b))
    squares = [(x * x).sum(1) * scale.square() for x, scale in ((a, one), (b, other))]
    distance: Tensor = squares[0] + squares[1] - 2.0 * (a * b).sum(1) * one * other
    return distance


def unit(features: Tensor) -> Tensor:  # (N, C, h, w)
    """Return features of length 1 at every place."""
    length: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / (length + TINY)


def huber(got: Tensor, truth: Tensor, delta: float = 1.0) -> Tensor:
    """Return mean e^2 / 2 for |e| < delta, else delta (|e| - delta / 2) (Huber 1964)."""
    return functional.huber_loss(got, truth, delta=delta)


def psnr(error: Tensor, peak: float = 2.0) -> Tensor:  # first axis B -> (B,)
    """Return the peak signal to noise ratio in dB; `peak` is the range of values."""
    square = error.square().flatten(1).mean(1)
    return 10.0 * torch.log10(peak**2 / square.clamp_min(1e-12))
