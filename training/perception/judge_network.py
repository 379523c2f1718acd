"""The judge network: segmentation and depth in one network of 92 thousand parameters.

Legend: B pictures, H W pixels, K groups.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from realmaster_live.errors import PairError
from realmaster_live.fidelity.judge import STRIDE
from realmaster_live.training.perception.augment import Batch
from realmaster_live.training.perception.examples import Example
from realmaster_live.training.perception.groups import IGNORE, NAMES
from realmaster_live.training.perception.pixels import as_tensor
from realmaster_live.training.perception.segmentation import group_weights

WIDTHS = (16, 32, 64, 96, 96)  # channels at 1/2, 1/4, 1/8, 1/16, 1/32 of the sides
DECODED = (72, 64, 48)  # channels on the way back, at 1/16, 1/8, 1/4
NEAREST_M, FARTHEST_M = 0.5, 250.0  # depths are clipped to this range, and the sky is at its end
INITIAL_LOG_DEPTH = 3.0  # initial prediction: 20 metres
DEPTH_WEIGHT = 0.4
JUDGE_CROP = (160, 256)  # height and width in pixels, multiples of 32
MIDDLE = slice(STRIDE // 2, None, STRIDE)  # the middle one of the label pixels of each output


class Separable(nn.Module):
    """A depthwise and a pointwise convolution, each with batch norm (MobileNet, section 3.1)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.depth = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.depth_norm: nn.Module = nn.BatchNorm2d(inputs)
        self.point = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.point_norm: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features, downsampled by the stride."""
        features = self.depth_norm(self.depth(features))
        out: Tensor = nn.functional.relu(self.point_norm(self.point(features)))
        return out

    def fold(self) -> None:
        """Fold the batch norms into the convolutions, in place."""
        if isinstance(self.depth_norm, nn.BatchNorm2d):
            self.depth = fuse_conv_bn_eval(self.depth, self.depth_norm)
        if isinstance(self.point_norm, nn.BatchNorm2d):
            self.point = fuse_conv_bn_eval(self.point, self.point_norm)
        self.depth_norm = self.point_norm = nn.Identity()


class JudgeNetwork(nn.Module):
    """An encoder to 1/32 and a decoder to 1/4 of the resolution."""

    def __init__(self, groups: int = len(NAMES)) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth, last = WIDTHS
        self.groups = groups
        self.stem = nn.Conv2d(3, half, 3, 2, 1)
        self.quarter = nn.Sequential(Separable(half, quarter, 2), Separable(quarter, quarter))
        self.eighth = nn.Sequential(Separable(quarter, eighth, 2), Separable(eighth, eighth))
        self.sixteenth = nn.Sequential(
            Separable(eighth, sixteenth, 2),
            Separable(sixteenth, sixteenth),
            Separable(sixteenth, sixteenth),
        )
        self.last = nn.Sequential(Separable(sixteenth, last, 2), Separable(last, last))
        self.to_sixteenth = Separable(last + sixteenth, DECODED[0])
        self.to_eighth = Separable(DECODED[0] + eighth, DECODED[1])
        self.to_quarter = Separable(DECODED[1] + quarter, DECODED[2])
        self.heads = nn.Conv2d(DECODED[2], groups + 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:  # (B, 3, H, W) in [0, 1]
        """Return logits (B, K, H/4, W/4) and the logarithm of metres (B, 1, H/4, W/4)."""
        quarter = self.quarter(nn.functional.relu(self.stem(image * 2.0 - 1.0)))
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        low = self.to_sixteenth(torch.cat([_upsampled(self.last(sixteenth)), sixteenth], 1))
        low = self.to_eighth(torch.cat([_upsampled(low), eighth], 1))
        out = self.heads(self.to_quarter(torch.cat([_upsampled(low), quarter], 1)))
        return out[:, : self.groups], out[:, self.groups :] + INITIAL_LOG_DEPTH


class JudgeTask:
    """The judge as a task for `runs.train`."""

    def __init__(self, examples: Sequence[Example]) -> None:
        """Take the training examples, whose group frequencies weight the loss."""
        self._weights = group_weights(examples)

    def network(self) -> nn.Module:
        """Return a new network."""
        return JudgeNetwork()

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the cross-entropy plus the L1 distance of log depths."""
        if batch.depth is None:
            raise PairError("expected depth labels to learn from, got none: render --with-labels")
        logits, log_depth = (each.float() for each in network(as_tensor(batch.pictures)))
        labels = torch.from_numpy(batch.groups[:, MIDDLE, MIDDLE].astype(np.int64))
        metres = torch.from_numpy(batch.depth[:, MIDDLE, MIDDLE]).clamp(NEAREST_M, FARTHEST_M)
        named = nn.functional.cross_entropy(logits, labels, self._weights, ignore_index=IGNORE)
        loss: Tensor = named + DEPTH_WEIGHT * (log_depth[:, 0] - metres.log()).abs().mean()
        return loss


def _upsampled(features: Tensor) -> Tensor:
    return nn.functional.interpolate(features, scale_factor=2.0, mode="bilinear")
