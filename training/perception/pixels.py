"""Pictures as input tensors of the networks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmaster_live.training.perception.networks import STRIDE


def as_input(picture: NDArray[np.uint8]) -> Tensor:
    """Return a picture (H, W, 3) as (1, 3, H', W'): edges are repeated to the stride's multiple."""
    height, width, _ = picture.shape
    padded = np.pad(picture, ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0)), mode="edge")
    return as_tensor(padded[None].astype(np.float32) / np.float32(255))


def as_tensor(pictures: NDArray[np.float32]) -> Tensor:
    """Return pictures (B, H, W, 3) as (B, 3, H, W), channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)
