"""Features of pictures: ImageNet's MobileNetV2 where it is installed, or a network of the user's.

Legend: B pictures, H W pixels, C features, L levels of a network.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from realmaster_live.errors import MissingDependency
from realmaster_live.training.evaluate.measures.model_files import (
    ModelFile,
    OnnxModel,
    normalised,
)
from realmaster_live.training.evaluate.mobilenet import PACKAGE, mobilenet
from realmaster_live.training.evaluate.pictures import CROP, crops
from realmaster_live.training.pairs.structure import resized

Pictures = NDArray[np.uint8]  # (B, H, W, 3) sRGB
Levels = list[NDArray[np.float32]]  # L of (B, C), each pooled over its places
ImageFeatures = Callable[[Pictures], Levels]


def load_features(given: str | None) -> tuple[ImageFeatures | None, str]:
    """Return what gives pictures' features and its name; None and the reason where nothing does.

    Args:
        given: an ONNX file of one input, pictures as ImageNet normalises them, and one or several
            outputs (B, C) or (B, C, h, w), such as VGG's layers; None for MobileNetV2.

    Raises:
        ConfigError: the file is no such network.
    """
    if given is not None:
        file = ModelFile.of(given, "--feature-model")
        return OnnxFeatures(OnnxModel(file)), str(file)
    try:
        mobilenet()
    except MissingDependency as error:
        return None, str(error)
    return mobilenet_levels, f"MobileNetV2 of {PACKAGE.replace('_', '-')}"


def mobilenet_levels(pictures: Pictures) -> Levels:
    """Return MobileNetV2's features at three inner places and at its end."""
    with torch.no_grad():
        taps, last = mobilenet()(torch.from_numpy(pictures))
    return [np.asarray(x.numpy(), np.float32) for x in (*(tap.mean((2, 3)) for tap in taps), last)]


class OnnxFeatures:
    """Features by a network of the user's."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model

    def __call__(self, pictures: Pictures) -> Levels:
        """Return one (B, C) array for each output."""
        if self._model.size is not None and pictures.shape[1:3] != self._model.size:
            size = self._model.size[::-1]
            scaled = [cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in pictures]
            pictures = np.asarray(np.stack(scaled), np.uint8)
        pixels = normalised(pictures)
        if self._model.takes_one:
            rows = [self._model(pixels[n : n + 1]) for n in range(len(pixels))]
            found = [np.concatenate(each) for each in zip(*rows, strict=True)]
        else:
            found = self._model(pixels)
        return [np.asarray(x.reshape(*x.shape[:2], -1).mean(2), np.float32) for x in found]


def last_of_crops(of: ImageFeatures) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return what gives the last features (N, C) of a picture's N crops of 224 pixels."""

    def extract(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        small = resized(picture, 1)
        assert min(small.shape[:2]) >= CROP - 1, small.shape
        return of(crops(small[None]).numpy())[-1]

    return extract
