"""Training crops as a pure function of (seed, step): the same for every variant.

Half of the crops are drawn uniformly. The others contain a pixel of a rare group of the picture
(rare class sampling, Hoyer et al. 2022, "DAFormer", section 4.3).

Legend: B crops, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.training.data import step_rng
from realmaster_live.training.perception.boxes import Boxes, cropped
from realmaster_live.training.perception.controls import AUGMENTED, strong_colours
from realmaster_live.training.perception.examples import SIM, Example
from realmaster_live.training.perception.groups import GROUP_INDEX

CROP = (144, 256)  # height and width in pixels
SCALES = (0.8, 1.25)  # range of a crop's magnification
RARE_GROUPS = ("traffic light", "traffic sign", "pedestrian", "vehicle", "two-wheeler")
RARE_SHARE = 0.5  # share of the crops that contain a rare group
BRIGHTNESS, CONTRAST = 0.08, 0.12  # x, of draws that are uniform in [-x, x], as a share of 1


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Crops with their labels.

    Attributes:
        pictures: (B, H, W, 3) float32, RGB in [0, 1], or slightly beyond after augmentation.
        groups: (B, H, W) uint8. boxes: the boxes of each crop.
        depth: (B, H, W) float32 metres, inf at sky; None if the examples have none.
    """

    pictures: NDArray[np.float32]
    groups: NDArray[np.uint8]
    boxes: list[Boxes]
    depth: NDArray[np.float32] | None = None


def source_of(variant: str) -> str:
    """Return the variant whose stored pictures a variant's crops are cut from."""
    return SIM if variant == AUGMENTED else variant


def draw_batch(
    examples: Sequence[Example],
    variants: Sequence[str],
    *,
    seed: int,
    step: int,
    batch: int,
    crop: tuple[int, int] = CROP,
) -> Batch:
    """Return a step's crops, with the variants in rotation.

    Place, scale, mirroring, brightness and contrast of each crop follow from the seed and the
    step alone, so that networks of different variants train on the same frames.
    """
    rng = step_rng(seed, step)
    pictures, groups, boxes, depths = [], [], [], []
    for index in range(batch):
        example = examples[int(rng.integers(len(examples)))]
        variant = variants[(index + step) % len(variants)]
        picture = example.pictures[source_of(variant)]
        labels = example.groups
        if labels is None or example.boxes is None:
            raise PairError(
                f"expected labels of {example.name} to learn from, got none: train on clips that "
                "were rendered --with-labels"
            )
        window = _window(rng, labels, crop)
        mirror = bool(rng.random() < 0.5)
        contrast = 1.0 + rng.uniform(-CONTRAST, CONTRAST)
        shift = rng.uniform(-BRIGHTNESS, BRIGHTNESS)
        pixels = _cut(picture, window, crop, mirror, cv2.INTER_LINEAR).astype(np.float32) / 255
        varied = np.float32(contrast) * (pixels - 0.5) + np.float32(0.5 + shift)
        crop_pixels = np.asarray(varied, np.float32)
        if variant == AUGMENTED:  # by draws of their own, so that the crops are the same
            crop_pixels = strong_colours(crop_pixels, step_rng(seed + 1, step * batch + index))
        pictures.append(crop_pixels)
        groups.append(_cut(labels, window, crop, mirror, cv2.INTER_NEAREST))
        left, top, width, _ = window
        boxes.append(
            cropped(example.boxes, left, top, crop[1] / width, crop[1], crop[0], mirror=mirror)
        )
        if example.depth is not None:
            metres = example.depth.astype(np.float32)
            depths.append(_cut(metres, window, crop, mirror, cv2.INTER_NEAREST))
    return Batch(
        pictures=np.stack(pictures).astype(np.float32),
        groups=np.stack(groups),
        boxes=boxes,
        depth=np.stack(depths) if len(depths) == batch else None,
    )


def _window(
    rng: np.random.Generator, groups: NDArray[np.uint8], crop: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return left, top, width and height of a random part of the picture, in the crop's shape."""
    size = groups.shape
    largest = min(size[0] / crop[0], size[1] / crop[1])
    scale = min(largest, 1.0 / float(np.exp(rng.uniform(*np.log(SCALES)))))
    height, width = round(crop[0] * scale), round(crop[1] * scale)
    position = rng.random(2)
    corner = [position[0] * (size[0] - height), position[1] * (size[1] - width)]
    if rng.random() < RARE_SHARE:
        indices = [GROUP_INDEX[name] for name in RARE_GROUPS]
        present = [index for index in indices if (groups == index).any()]
        if present:
            pixels = np.argwhere(groups == present[int(rng.integers(len(present)))])
            pixel = pixels[int(rng.integers(len(pixels)))]
            corner = list(pixel - position * (height, width))
    top, left = (
        int(np.clip(first, 0, length - side))
        for first, length, side in zip(corner, size, (height, width), strict=True)
    )
    return left, top, width, height


def _cut(
    array: NDArray[Any],
    window: tuple[int, int, int, int],
    crop: tuple[int, int],
    mirror: bool,
    interpolation: int,
) -> NDArray[Any]:
    left, top, width, height = window
    part = np.ascontiguousarray(array[top : top + height, left : left + width])
    resized = cv2.resize(part, (crop[1], crop[0]), interpolation=interpolation)
    return np.asarray(resized[:, ::-1] if mirror else resized, array.dtype)
