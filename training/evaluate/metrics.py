"""Metrics between pictures: pure functions.

Legend: T frames, H W pixels, N samples, C channels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]  # (T, H, W, 3) sRGB
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def psnr(got: Bytes, truth: Bytes) -> list[float]:
    """Return the peak signal to noise ratio of each frame, dB."""
    error = (got.astype(np.float32) - truth.astype(np.float32)) ** 2
    return [float(10.0 * np.log10(255.0**2 / max(e, 1e-6))) for e in error.mean((1, 2, 3))]


def ssim(got: Bytes, truth: Bytes) -> list[float]:
    """Return the structural similarity of each frame's luma (Wang et al. 2004, eq. 13)."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def blur(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(image, (11, 11), 1.5), np.float32)

    scores = []
    for left, right in zip(got, truth, strict=True):
        x, y = left.astype(np.float32) @ LUMA, right.astype(np.float32) @ LUMA
        mx, my = blur(x), blur(y)
        vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
        top = (2 * mx * my + c1) * (2 * cov + c2)
        scores.append(float((top / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()))
    return scores


def flicker(got: Bytes, truth: Bytes) -> list[float]:
    """Return the mean |error of the change| between each two neighbouring frames, in levels."""
    error = got.astype(np.float32) - truth.astype(np.float32)
    return [float(e) for e in np.abs(np.diff(error, axis=0)).mean((1, 2, 3))]


def sharpness(frames: Bytes) -> float:
    """Return the mean absolute Laplacian of luma, in levels; blurring lowers it."""
    luma = frames.astype(np.float32) @ LUMA
    return float(np.mean([np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean() for image in luma]))


def kid(x: NDArray[np.float32], y: NDArray[np.float32]) -> float:  # (N, C), (M, C)
    """Return the kernel distance: unbiased MMD^2 with (x.y / C + 1)^3 (Binkowski 2018, eq. 4)."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    n, m, width = len(x), len(y), x.shape[1]
    kxx, kyy, kxy = ((a @ b.T / width + 1.0) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = (kxx.sum() - np.trace(kxx)) / (n * (n - 1)) + (kyy.sum() - np.trace(kyy)) / (
        m * (m - 1)
    )
    return float(within - 2.0 * kxy.mean())
