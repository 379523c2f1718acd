"""AdamW with both moments quantized to 8 bits: a quarter of the optimizer's memory.

Moments are quantized in blocks, each with its own scale (Dettmers et al. 2022, arXiv 2110.02861,
section 2.1). The codes are roots, so that small values keep their precision: the first moment is
sign(c) c^2 of a signed byte, the second c^4 of an unsigned one, rounded up so that a small
second moment never becomes zero under a first moment that did not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

BLOCK = 256  # values that share one scale


def pack(values: Tensor, power: int) -> tuple[Tensor, Tensor]:
    """Return codes (blocks, BLOCK) int8 or uint8 and scales (blocks, 1) of a moment.

    Power 2 is for signed values, power 4 for those that are never negative.
    """
    flat = nn.functional.pad(values.flatten(), (0, -values.numel() % BLOCK)).view(-1, BLOCK)
    scale = flat.abs().amax(1, keepdim=True)
    share = (flat.abs() / scale.clamp_min(torch.finfo(scale.dtype).tiny)) ** (1.0 / power)
    if power == 2:
        return (share * 127.0).round().mul(flat.sign()).to(torch.int8), scale
    return (share * 255.0).ceil().clamp_max(255.0).to(torch.uint8), scale


def unpack(codes: Tensor, scale: Tensor, power: int, like: Tensor) -> Tensor:
    """Return the moment that `pack` quantized, in the shape of `like`."""
    share = codes.to(scale.dtype)
    share = share * share.abs() / 127.0**2 if power == 2 else (share / 255.0) ** 4
    return (share * scale).flatten()[: like.numel()].view_as(like)


class Adam8bit(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2019, algorithm 2) with quantized moments."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        eps: float = 1e-8,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": eps}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Take one optimizer step; closures are not supported."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._advance(parameter, group)

    def _advance(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        count = state["step"] = state.get("step", torch.zeros(())) + 1.0
        m, v = torch.zeros_like(gradient), torch.zeros_like(gradient)
        if "m_codes" in state:
            m = unpack(state["m_codes"], state["m_scale"], 2, gradient)
            v = unpack(state["v_codes"], state["v_scale"], 4, gradient)
        m.lerp_(gradient, 1.0 - beta1)
        v.lerp_(gradient.square(), 1.0 - beta2)
        state["m_codes"], state["m_scale"] = pack(m, 2)
        state["v_codes"], state["v_scale"] = pack(v, 4)
        m_hat = m / (1.0 - beta1 ** float(count))
        v_hat = v.sqrt() / math.sqrt(1.0 - beta2 ** float(count))
        parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
        parameter.sub_(group["lr"] * m_hat / (v_hat + group["eps"]))
