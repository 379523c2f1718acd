"""The small networks: a U-Net trunk, with one head for each task.

About 0.4 million parameters each. Legend: B pictures, H W pixels, K groups, D classes of objects.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 96)  # channels at 1/2, 1/4, 1/8, 1/16 of the sides
STRIDE = 16  # sides of a picture are multiples of it
SEGMENT_STRIDE, DETECT_STRIDE = 2, 4  # pixels between outputs
SHARE_OF_CENTRES = 0.01  # p of the initial bias -log((1 - p) / p), RetinaNet's section 4.1


def conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Return a convolution with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class UpsampleMerge(nn.Module):
    """Upsamples features by two and merges them with the encoder's at that size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.narrow = conv(inputs, outputs, kernel=1)
        self.mix = conv(2 * outputs, outputs)

    def forward(self, low: Tensor, skip: Tensor) -> Tensor:
        """Return features of the shape of `skip`."""
        upsampled = nn.functional.interpolate(self.narrow(low), scale_factor=2.0, mode="nearest")
        merged: Tensor = self.mix(torch.cat([upsampled, skip], 1))
        return merged


class Trunk(nn.Module):
    """An encoder-decoder with skip connections (U-Net) and outputs at 1/2 and 1/4 of the sides."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.stem = conv(3, half, 2)
        self.quarter = nn.Sequential(conv(half, quarter, 2), conv(quarter, quarter))
        self.eighth = nn.Sequential(conv(quarter, eighth, 2), conv(eighth, eighth))
        self.sixteenth = nn.Sequential(
            conv(eighth, sixteenth, 2), conv(sixteenth, sixteenth), conv(sixteenth, sixteenth)
        )
        self.to_eighth = UpsampleMerge(sixteenth, eighth)
        self.to_quarter = UpsampleMerge(eighth, quarter)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:  # (B, 3, H, W) in [0, 1]
        """Return (B, 16, H/2, W/2) and (B, 32, H/4, W/4)."""
        half = self.stem(pictures * 2.0 - 1.0)
        quarter = self.quarter(half)
        eighth = self.eighth(quarter)
        low = self.sixteenth(eighth)
        return half, self.to_quarter(self.to_eighth(low, eighth), quarter)


class Segmenter(nn.Module):
    """Segments at half resolution."""

    def __init__(self, groups: int, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.trunk = Trunk(widths)
        self.to_half = UpsampleMerge(widths[1], widths[0])
        self.logits = nn.Conv2d(widths[0], groups, 1)

    def forward(self, pictures: Tensor) -> Tensor:  # (B, 3, H, W) -> (B, K, H/2, W/2)
        """Return the logits."""
        half, quarter = self.trunk(pictures)
        logits: Tensor = self.logits(self.to_half(quarter, half))
        return logits


class Detector(nn.Module):
    """Detects centres and sizes of objects (Zhou et al. 2019, "Objects as Points")."""

    def __init__(self, kinds: int, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.kinds = kinds
        self.trunk = Trunk(widths)
        self.shared = conv(widths[1], widths[1] * 3 // 2)
        self.heads = nn.Conv2d(widths[1] * 3 // 2, kinds + 4, 1)
        bias = self.heads.bias
        assert bias is not None
        with torch.no_grad():
            bias[:kinds] = -torch.log(torch.tensor((1 - SHARE_OF_CENTRES) / SHARE_OF_CENTRES))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:  # (B, 3, H, W)
        """Return heatmap logits (B, D, H/4, W/4), and (B, 4, H/4, W/4).

        The four are log width and log height in pixels, and the offset of the centre right and down
        from its cell's corner, in cells.
        """
        _, quarter = self.trunk(pictures)
        out = self.heads(self.shared(quarter))
        return out[:, : self.kinds], out[:, self.kinds :]
