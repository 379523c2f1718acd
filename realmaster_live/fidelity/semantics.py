"""Scores whether parts still look like their class, by a judge or by their appearance.

Legend: H height, W width, h w a quarter of them, R parts, F features, K groups of a judge.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.judge import Judge, Prediction

MIN_PART_PX = 400  # smaller parts are not scored by appearance
PIXEL_STEP = 4  # every fourth pixel is sampled along each side
TEXTURE_SCALE = 20.0  # levels that a factor of e in texture counts for
REGULARIZATION = 25.0  # squared levels; with few parts the gains stay near 1
MIN_GAIN, MAX_GAIN = 0.5, 2.0
TOLERANCE = 40.0  # distance in levels at which the score is 0
MIN_PROBABILITY = 0.3  # parts with less in the render are not scored, as the judge is unsure


def appearance(
    picture: NDArray[np.uint8],  # (H, W, 3)
    numbers: NDArray[np.int32],  # (H, W), parts
    count: int,
) -> NDArray[np.float64]:  # (R, F)
    """Return each part's mean L*, a*, b* (0 to 255) and its texture, from one pixel in sixteen."""
    small = np.ascontiguousarray(picture[::PIXEL_STEP, ::PIXEL_STEP])
    lightness, *tints = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2LAB))
    texture = cv2.absdiff(lightness, cv2.blur(lightness, (3, 3)))
    flat = numbers[::PIXEL_STEP, ::PIXEL_STEP].ravel()
    pixels = np.maximum(np.bincount(flat, minlength=count), 1)
    means = [
        np.bincount(flat, plane.ravel(), minlength=count) / pixels
        for plane in (lightness, *tints, texture)
    ]
    return np.stack([*means[:3], TEXTURE_SCALE * np.log1p(means[3])], 1)


def appearance_scores(
    rendered: NDArray[np.float64],  # (R, F)
    realized: NDArray[np.float64],  # (R, F)
    pixels: NDArray[np.int64],  # (R,)
) -> NDArray[np.float64]:  # (R,)
    """Return how well each part keeps its look relative to the others; NaN for small parts.

    A realized picture may be lighter, warmer or have more contrast. So one gain and one offset for
    each feature are fitted over all parts, and the remaining distance is scored.
    """
    weight = np.sqrt(pixels) * (pixels >= MIN_PART_PX)
    if not weight.any():
        return np.full(len(pixels), np.nan)
    weight = weight / weight.sum()
    rendered_offset, realized_offset = rendered - weight @ rendered, realized - weight @ realized
    gain = (weight @ (rendered_offset * realized_offset) + REGULARIZATION) / (
        weight @ (rendered_offset * rendered_offset) + REGULARIZATION
    )
    residual = realized_offset - np.clip(gain, MIN_GAIN, MAX_GAIN) * rendered_offset
    score = np.clip(1 - np.sqrt(np.square(residual).sum(1)) / TOLERANCE, 0, 1)
    return np.where(pixels >= MIN_PART_PX, score, np.nan)


def class_scores(
    judge: Judge,
    rendered: Prediction,
    realized: Prediction,
    numbers: NDArray[np.int32],  # (H, W), parts
    classes: NDArray[np.int64],  # (R,)
) -> NDArray[np.float64]:  # (R,)
    """Return the ratio of each part's class probability to the render's, at most 1.

    It is NaN for parts whose class is in no group, or that the judge does not recognize in the
    render either.
    """
    _, height, width = realized.share.shape
    small = cv2.resize(numbers, (width, height), interpolation=cv2.INTER_NEAREST)
    groups = judge.group_of[classes]
    flat, count = small.ravel(), len(classes)
    pixel_groups = groups[flat]
    pixels = np.bincount(flat, minlength=count)
    places = np.maximum(pixel_groups, 0), np.arange(flat.size)
    shares = [
        np.bincount(flat, one.share.reshape(len(one.share), -1)[places], minlength=count)
        / np.maximum(pixels, 1)
        for one in (rendered, realized)
    ]
    known = (groups >= 0) & (pixels > 0) & (shares[0] >= MIN_PROBABILITY)
    return np.where(
        known, np.minimum(shares[1] / np.maximum(shares[0], MIN_PROBABILITY), 1), np.nan
    )
