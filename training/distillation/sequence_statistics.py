"""Statistics that reveal a student's typical faults: lost colour, lost motion, and drift.

All of them accept pictures (C = 3) or latents.

Legend: B samples, T frames in order, C channels, h w places. A *sequence* is (B, T, C, h, w).
"""

from __future__ import annotations

from torch import Tensor


def as_sequence(chunks: Tensor) -> Tensor:  # (n, B, C, h, w) or (n, B, C, F, h, w)
    """Return consecutive chunks as a sequence, T = n or n F."""
    if chunks.ndim == 5:
        return chunks.transpose(0, 1)
    return chunks.permute(1, 0, 3, 2, 4, 5).flatten(1, 2)


def chroma(x: Tensor) -> Tensor:  # (B, T, C, h, w) -> (B,)
    """Return the mean |channel - mean over channels|, which is 0 for grey pictures."""
    return (x - x.mean(2, keepdim=True)).abs().mean((1, 2, 3, 4))


def temporal_variance(x: Tensor) -> Tensor:  # (B, T, C, h, w) -> (B,)
    """Return the variance over time, averaged over channels and positions."""
    return x.var(1, correction=0).mean((1, 2, 3))


def texture(x: Tensor) -> Tensor:  # (B, T, C, h, w) -> (B,)
    """Return the mean |difference| of horizontal and vertical neighbours, which blurring lowers."""
    across = (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3, 4))
    down = (x[..., 1:, :] - x[..., :-1, :]).abs().mean((1, 2, 3, 4))
    return across + down


def colours(x: Tensor) -> Tensor:  # (B, T, C, h, w) -> (B, T, C)
    """Return the mean of every channel of every frame."""
    return x.mean((3, 4))


def contrasts(x: Tensor) -> Tensor:  # (B, T, C, h, w) -> (B, T, C)
    """Return the standard deviation of every channel of every frame."""
    return x.std((3, 4), correction=0)


def drift(got: Tensor, truth: Tensor) -> Tensor:  # two of (B, T, C, h, w) -> (B,)
    """Return the drift of colour and contrast relative to the truth, over a sequence.

    A frame's offset is the difference of its mean and standard deviation from the truth's, for each
    channel. The drift is the mean |change| of the offset from the first third of the frames to the
    last, in standard deviations of the truth's channel. Constant tints and changes of the scene do
    not count as drift.
    """
    third = max(1, truth.shape[1] // 3)
    scale = contrasts(truth).mean(1).clamp_min(1e-6)  # (B, C)
    changes = []
    for measure in (colours, contrasts):
        offset = measure(got) - measure(truth)
        change = offset[:, -third:].mean(1) - offset[:, :third].mean(1)
        changes.append((change.abs() / scale).mean(1))
    return (changes[0] + changes[1]) / 2
