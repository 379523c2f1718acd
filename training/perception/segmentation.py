"""Semantic segmentation: loss, prediction and intersection over union.

Legend: B crops, H W pixels, K groups.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realmaster_live.training.perception.augment import Batch
from realmaster_live.training.perception.examples import Example
from realmaster_live.training.perception.groups import IGNORE, NAMES
from realmaster_live.training.perception.networks import SEGMENT_STRIDE
from realmaster_live.training.perception.pixels import as_input

ENET = 1.02  # weight of a group: 1 / log(1.02 + its share), Paszke et al. 2016, section 5.2


def group_weights(examples: Sequence[Example]) -> Tensor:  # -> (K,)
    """Return the loss weight of each group, higher for rarer ones, with mean 1."""
    counts = np.zeros(len(NAMES))
    for example in examples:
        if example.groups is not None:
            counts += np.bincount(example.groups.ravel(), minlength=256)[: len(NAMES)]
    weights = 1.0 / np.log(ENET + counts / max(1.0, counts.sum()))
    return torch.from_numpy(weights / weights.mean()).float()


def segmentation_loss(logits: Tensor, batch: Batch, weights: Tensor) -> Tensor:
    """Return the weighted cross-entropy of logits (B, K, H/2, W/2)."""
    labels = torch.from_numpy(batch.groups[:, ::SEGMENT_STRIDE, ::SEGMENT_STRIDE].astype(np.int64))
    return nn.functional.cross_entropy(logits.float(), labels, weights, ignore_index=IGNORE)


@torch.no_grad()
def segment(network: nn.Module, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the group (H, W) of every pixel of a picture (H, W, 3)."""
    height, width, _ = picture.shape
    logits = network(as_input(picture))
    whole = nn.functional.interpolate(logits, scale_factor=float(SEGMENT_STRIDE), mode="bilinear")
    return whole[0, :, :height, :width].argmax(0).numpy().astype(np.uint8)


def confusion(
    predicted: NDArray[np.uint8], labels: NDArray[np.uint8], merged: NDArray[np.uint8] | None = None
) -> NDArray[np.int64]:
    """Return the (K, K) confusion matrix of (label, prediction), without ignored pixels.

    `merged` (K,) maps predicted groups to those of a data set that has fewer groups.
    """
    if merged is not None:
        predicted = merged[predicted]
    known = labels != IGNORE
    size = len(NAMES)
    pairs = labels[known].astype(np.int64) * size + predicted[known]
    return np.bincount(pairs, minlength=size * size).reshape(size, size)


def intersection_over_union(counts: NDArray[np.int64]) -> dict[str, float]:
    """Return each group's IoU in percent; groups without labels are left out."""
    hit = counts.diagonal()
    either = counts.sum(0) + counts.sum(1) - hit
    shown = counts.sum(1) > 0
    return {
        name: float(100.0 * hit[place] / either[place])
        for place, name in enumerate(NAMES)
        if shown[place]
    }
