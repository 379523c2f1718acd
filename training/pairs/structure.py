"""Structure distance: whether the parts of two pictures relate to each other alike.

Legend: S tokens, places in a picture; D width of a token.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

SHORT_SIDE = 224  # pixels, as published structure scores are measured
CELL_PX, ORIENTATIONS = 16, 9  # of gradient histograms


class Descriptor(Protocol):
    """Describes the places of a picture."""

    def __call__(
        self,
        picture: NDArray[np.uint8],  # (H, W, 3) RGB
    ) -> NDArray[np.float32]:
        """Return one vector a place, (S, D)."""


def structure_distance(
    source: NDArray[np.uint8],  # (T, H, W, 3) RGB
    made: NDArray[np.uint8],  # (T, H, W, 3) RGB
    describe: Descriptor,
) -> float:
    """Return the mean over frames of MSE(S(source), S(made)), S_ij = cos(K_i, K_j).

    With the keys K of DINO's last layer this is the structure loss of Tumanyan et al., "Splicing
    ViT Features for Semantic Appearance Transfer" (2022), eq. 3, as a mean rather than a norm.
    """
    distances = [
        np.square(self_similarity(describe(x)) - self_similarity(describe(y))).mean()
        for x, y in zip(source, made, strict=True)
    ]
    return float(np.mean(distances))


def self_similarity(tokens: NDArray[np.float32]) -> NDArray[np.float32]:  # (S, D) -> (S, S)
    """Return the cosine of every token with every other."""
    unit = tokens / np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-6)
    return np.asarray(unit @ unit.T, np.float32)


def gradient_histograms(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return one histogram of gradient directions a cell, (S, 9): what stands in for DINO's keys.

    After Dalal and Triggs, "Histograms of Oriented Gradients" (2005), unsigned and without blocks.
    It needs no network; its distances are not comparable with DINO's.
    """
    small = resized(picture, CELL_PX)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    x, y = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    size, angle = cv2.cartToPolar(x, y)
    angle = np.mod(angle, np.pi) * (ORIENTATIONS / np.pi)
    lower = np.floor(angle).astype(int)
    upper_share = angle - lower
    bins = np.zeros((*grey.shape, ORIENTATIONS), np.float32)
    rows, columns = np.indices(grey.shape)
    bins[rows, columns, lower % ORIENTATIONS] = size * (1 - upper_share)
    bins[rows, columns, (lower + 1) % ORIENTATIONS] += size * upper_share
    height, width = grey.shape
    cells = bins.reshape(height // CELL_PX, CELL_PX, width // CELL_PX, CELL_PX, ORIENTATIONS)
    # a flat cell is like every other flat cell: contrast below one level does not count
    return np.asarray(cells.mean((1, 3)).reshape(-1, ORIENTATIONS) + 1.0, np.float32)


def resized(picture: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Return a picture whose shorter side has about 224 pixels, both multiples of `multiple`."""
    height, width = picture.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    size = [max(multiple, round(side * scale / multiple) * multiple) for side in (width, height)]
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
