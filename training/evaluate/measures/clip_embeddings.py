"""CLIP's embeddings of pictures, and the distance between sets of them (CMMD).

After Jayasumana et al., "Rethinking FID: Towards a Better Evaluation Metric for Image Generation"
(2024). The paper uses ViT-L/14 at 336 pixels; distances of other networks are not comparable.

Legend: C width of an embedding, N M pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, reason
from realmaster_live.optional import require
from realmaster_live.system.contents import sha256_of
from realmaster_live.training.evaluate.measures.model_files import (
    ModelFile,
    OnnxModel,
    normalised,
)

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIGMA = 10.0  # of the kernel, as the paper chose it
SIDE_PX = 336  # where a graph does not say its own
WEIGHTS = "model.safetensors"
Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # (H, W, 3) -> (1, C)


def gaussian(
    x: NDArray[np.float64],  # (N, C)
    y: NDArray[np.float64],  # (M, C)
) -> NDArray[np.float64]:  # (N, M)
    """Return exp(-|x - y|^2 / (2 sigma^2)), CMMD's kernel (section 4)."""
    square = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2.0 * (x @ y.T)
    return np.asarray(np.exp(-np.maximum(square, 0.0) / (2 * SIGMA**2)), np.float64)


def load_clip(given: str) -> tuple[Embed, str]:
    """Return what embeds a picture, and the network's name.

    Args:
        given: an ONNX file (1, 3, S, S) -> (1, C), or a folder of transformers' CLIP.

    Raises:
        ConfigError: it is neither.
    """
    path = Path(given)
    if path.is_dir():
        return _from_folder(path)
    file = ModelFile.of(given, "--clip-model")
    model = OnnxModel(file)
    side = SIDE_PX if model.size is None else model.size[0]

    def embed(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = model(normalised(squared(picture, side)[None], CLIP_MEAN, CLIP_STD))[0]
        return unit(np.asarray(found, np.float32).reshape(1, -1))

    return embed, str(file)


def _from_folder(folder: Path) -> tuple[Embed, str]:
    transformers = require("transformers", extra="training")
    try:
        network = transformers.CLIPVisionModelWithProjection.from_pretrained(
            folder, local_files_only=True
        )
        weights = sha256_of(folder / WEIGHTS, error=ConfigError)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"expected a CLIP network of transformers in {folder}, got {reason(error)[:200]}: give "
            f"a folder with config.json and {WEIGHTS}, or an ONNX file"
        ) from error
    network = network.eval().requires_grad_(False)
    side = int(network.config.image_size)

    def embed(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = normalised(squared(picture, side)[None], CLIP_MEAN, CLIP_STD)
        with torch.no_grad():
            found = network(pixel_values=torch.from_numpy(pixels)).image_embeds
        return unit(np.asarray(found.numpy(), np.float32))

    return embed, f"{folder.name}, SHA-256 {weights[:16]}"


def squared(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:  # (side, side, 3)
    """Return a picture as a square, all of it, as the paper resizes pictures."""
    down = min(picture.shape[:2]) > side
    how = cv2.INTER_AREA if down else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (side, side), interpolation=how), np.uint8)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:  # (N, C)
    """Return vectors of length 1."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)
