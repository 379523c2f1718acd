"""How well an edit is aligned with its source: shifts of the whole and its halves, edge F1."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

EDGE_SHARE = 0.1  # of the pixels, whose gradient may start an edge
TOLERANCE_PX = 2  # as published edge scores allow
BLUR_PX = 1.0  # of gradient maps, standard deviation: fine texture is not layout

Frames = NDArray[np.uint8]  # (T, H, W, 3) RGB


def edge_agreement(source: Frames, made: Frames) -> list[float]:
    """Return each frame's F1 of Canny edges of source and made clip, 2 pixels of tolerance."""
    return [edge_f1(edges(x), edges(y)) for x, y in zip(source, made, strict=True)]


def clip_shift(source: Frames, made: Frames) -> float:
    """Return the shift of the made clip against its source in pixels: the median over frames.

    By phase correlation of gradients, see `global_shift`. Frames without edges, in the
    source or in the clip, have no shift and do not count.
    """
    shifts = [
        global_shift(x, y)
        for x, y in zip(source, made, strict=True)
        if edges(x).any() and edges(y).any()
    ]
    return float(np.hypot(*np.median(shifts, axis=0))) if shifts else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """What was measured between a source and its edit.

    Attributes:
        shift_x_px: shift of the edit to the right of the source.
        shift_y_px: its shift downwards.
        halves_px: lengths of the shifts of the left and the right half alone: an edit that zooms
            moves them apart and leaves the whole in place.
        edge_f1: harmonic mean of the shares of edges found in each other, 0 to 1.
    """

    shift_x_px: float
    shift_y_px: float
    halves_px: tuple[float, float]
    edge_f1: float

    @property
    def shift_px(self) -> float:
        """Return the length of the largest shift, of the whole or of a half."""
        return max(float(np.hypot(self.shift_x_px, self.shift_y_px)), *self.halves_px)


def measure(
    source: NDArray[np.uint8],  # (H, W, 3) RGB
    edit: NDArray[np.uint8],  # (H, W, 3) RGB
) -> Alignment:
    """Return shift and edge agreement of an edit to its source."""
    x, y = global_shift(source, edit)
    half = source.shape[1] // 2
    left, right = (
        float(np.hypot(*global_shift(source[:, part], edit[:, part])))
        for part in (slice(half), slice(half, None))
    )
    return Alignment(
        shift_x_px=x,
        shift_y_px=y,
        halves_px=(left, right),
        edge_f1=edge_f1(edges(source), edges(edit)),
    )


def global_shift(
    source: NDArray[np.uint8],  # (H, W, 3) RGB
    edit: NDArray[np.uint8],  # (H, W, 3) RGB
) -> tuple[float, float]:
    """Return (x, y) pixels from source to edit by phase correlation, to parts of a pixel.

    Kuglin and Hines, "The phase correlation image alignment method" (1975), on gradient maps: an
    edit changes colour and light, and leaves where things end.
    """
    height, width = source.shape[:2]
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(gradient(source), gradient(edit), window)
    return float(x), float(y)


def gradient(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the gradient's magnitude (H, W) over its own local mean, so that contrast cancels."""
    sharp = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(sharp, (0, 0), BLUR_PX)
    size = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    around = cv2.GaussianBlur(size, (0, 0), 8 * BLUR_PX)
    return np.asarray(size / (around + size.mean() + 1e-6), np.float32)


def edges(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return Canny edges (H, W), the thresholds set by the picture's own gradients."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    grey = cv2.GaussianBlur(grey, (0, 0), BLUR_PX)
    x = cv2.Sobel(grey, cv2.CV_16S, 1, 0)
    y = cv2.Sobel(grey, cv2.CV_16S, 0, 1)
    size = np.abs(x.astype(np.int32)) + np.abs(y)
    high = max(float(np.quantile(size, 1 - EDGE_SHARE)), 1.0)
    answer: NDArray[np.bool_] = cv2.Canny(x, y, high / 2, high) > 0
    return answer


def edge_f1(
    one: NDArray[np.bool_],  # (H, W)
    other: NDArray[np.bool_],  # (H, W)
    tolerance_px: int = TOLERANCE_PX,
) -> float:
    """Return the F1 of two edge maps; an edge is found where the other has one within tolerance.

    Two empty maps agree; an empty one and another do not.
    """
    if not one.any() or not other.any():
        return float(one.any() == other.any())
    reach = np.ones((2 * tolerance_px + 1,) * 2, np.uint8)
    near_one, near_other = (cv2.dilate(e.astype(np.uint8), reach) > 0 for e in (one, other))
    precision, recall = near_one[other].mean(), near_other[one].mean()
    return float(2 * precision * recall / max(precision + recall, 1e-9))
