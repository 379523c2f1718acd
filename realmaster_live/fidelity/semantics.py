"""Whether parts still look like their class: by a judge's classes, or by their appearance.

Legend: H height, W width, h w a quarter of them, R parts, F features, K groups of a judge.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.judge import Judge, Prediction

SMALLEST_PX = 400  # of a part whose appearance counts
STEP = 4  # pixels between those that are looked at
TEXTURE = 20.0  # levels that e-fold texture counts for
STIFFNESS = 25.0  # squared levels; few parts leave the mapping near the identity
LEAST_GAIN, MOST_GAIN = 0.5, 2.0
TOLERANCE = 40.0  # levels off at which nothing of a part's look is left
KNOWN = 0.3  # probability in the render from which the judge knows a part


def appearance(
    picture: NDArray[np.uint8],  # (H, W, 3)
    numbers: NDArray[np.int32],  # (H, W), parts
    count: int,
) -> NDArray[np.float64]:  # (R, F)
    """Return each part's mean L*, a*, b* (as bytes) and its texture, from one pixel in sixteen."""
    small = np.ascontiguousarray(picture[::STEP, ::STEP])
    light, *tints = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2LAB))
    texture = cv2.absdiff(light, cv2.blur(light, (3, 3)))
    flat = numbers[::STEP, ::STEP].ravel()
    pixels = np.maximum(np.bincount(flat, minlength=count), 1)
    means = [
        np.bincount(flat, plane.ravel(), minlength=count) / pixels
        for plane in (light, *tints, texture)
    ]
    return np.stack([*means[:3], TEXTURE * np.log1p(means[3])], 1)


def appearance_scores(
    rendered: NDArray[np.float64],  # (R, F)
    realized: NDArray[np.float64],  # (R, F)
    pixels: NDArray[np.int64],  # (R,)
) -> NDArray[np.float64]:  # (R,)
    """Return how well each part keeps its look among the others, NaN for a small part.

    A realized picture may be lighter, warmer or of more contrast: one gain and one offset for each
    feature are fitted over all parts; the distance that remains counts.
    """
    weight = np.sqrt(pixels) * (pixels >= SMALLEST_PX)
    if not weight.any():
        return np.full(len(pixels), np.nan)
    weight = weight / weight.sum()
    drawn, found = rendered - weight @ rendered, realized - weight @ realized
    gain = (weight @ (drawn * found) + STIFFNESS) / (weight @ (drawn * drawn) + STIFFNESS)
    left = found - np.clip(gain, LEAST_GAIN, MOST_GAIN) * drawn
    score = np.clip(1 - np.sqrt(np.square(left).sum(1)) / TOLERANCE, 0, 1)
    return np.where(pixels >= SMALLEST_PX, score, np.nan)


def class_scores(
    judge: Judge,
    rendered: Prediction,
    realized: Prediction,
    numbers: NDArray[np.int32],  # (H, W), parts
    classes: NDArray[np.int64],  # (R,)
) -> NDArray[np.float64]:  # (R,)
    """Return each part's probability of its class over the render's, at most 1.

    NaN for a part that the judge has no group for or does not know in the render either.
    """
    _, height, width = realized.share.shape
    small = cv2.resize(numbers, (width, height), interpolation=cv2.INTER_NEAREST)
    groups = judge.group_of[classes]
    flat, count = small.ravel(), len(classes)
    wanted = groups[flat]
    pixels = np.bincount(flat, minlength=count)
    places = np.maximum(wanted, 0), np.arange(flat.size)
    shares = [
        np.bincount(flat, one.share.reshape(len(one.share), -1)[places], minlength=count)
        / np.maximum(pixels, 1)
        for one in (rendered, realized)
    ]
    known = (groups >= 0) & (pixels > 0) & (shares[0] >= KNOWN)
    return np.where(known, np.minimum(shares[1] / np.maximum(shares[0], KNOWN), 1), np.nan)
