"""Frozen linear layers in int8 with one scale for each row, in half of bfloat16's memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Int8Product(torch.autograd.Function):
    """x W^T with W in int8, which is dequantized in forward and backward and never stored."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, codes: Tensor, scale: Tensor) -> Tensor:
        """Return x (codes * scale)^T."""
        ctx.save_for_backward(codes, scale)
        return nn.functional.linear(x, dequantized(codes, scale, x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of x; the weight is frozen."""
        (gradient,) = gradients
        codes, scale = ctx.saved_tensors
        return gradient @ dequantized(codes, scale, gradient.dtype), None, None


class Int8Linear(nn.Linear):
    """A linear layer whose weight is codes (out, in) int8 times scale (out, 1) float32."""

    codes: Tensor
    scale: Tensor

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """Return a dequantized copy of the weight."""
        return dequantized(self.codes, self.scale, torch.float32)

    def forward(self, x: Tensor) -> Tensor:  # (..., in) -> (..., out)
        """Return x W^T + b, in bfloat16 under autocast."""
        device = x.device.type
        if torch.is_autocast_enabled(device):
            x = x.to(torch.get_autocast_dtype(device))
        out: Tensor = Int8Product.apply(x, self.codes, self.scale)  # type: ignore[no-untyped-call]
        return out if self.bias is None else out + self.bias.to(out.dtype)


def dequantized(codes: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Return codes * scale, dequantized to a dtype."""
    return codes.to(dtype) * scale.to(dtype)


@torch.no_grad()
def freeze_int8(module: nn.Module) -> None:
    """Replace the linear layers of a module's blocks by int8 ones, in place.

    A weight's error is at most 1/254 of the largest weight in its row. Adapters may be attached
    before or after. Merging an adapter into such a layer has no effect.
    """
    for name, layer in list(module.named_modules()):
        if type(layer) is not nn.Linear or not name.startswith("blocks."):
            continue
        weight = layer.weight.float()
        scale = weight.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127.0
        del layer.weight
        layer.__class__ = Int8Linear
        layer.register_buffer("codes", (weight / scale).round().to(torch.int8))
        layer.register_buffer("scale", scale)
