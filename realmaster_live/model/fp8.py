"""Linear layers in FP8: weights and activations in E4M3, by torch's scaled products.

Every output channel of a weight and every token of an activation has its own scale (Micikevicius et
al. 2022, arXiv 2209.05433, section 3; per-token scales as in DeepSeek-V3, arXiv 2412.19437, section
3.3), so no calibration is needed.

Legend: W inputs, V outputs, n tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from realmaster_live.model.dit import Block, InContextTransformer

E4M3 = torch.float8_e4m3fn
LARGEST = torch.finfo(E4M3).max  # 448
SMALLEST_CAPABILITY = (8, 9)  # CUDA compute capability: Ada, Hopper and later have E4M3
LAYERS = (  # of a block; cross-attention's keys and values are computed once per prompt
    *(f"attn1.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0")),
    *("attn2.to_q", "attn2.to_out.0", "ffn.net.0.proj", "ffn.net.2"),
)


def to_e4m3(x: Tensor) -> tuple[Tensor, Tensor]:  # (n, W) -> (n, W) E4M3, (n, 1) float32
    """Return rows in E4M3, and the scale by which each of them must be multiplied."""
    scale = x.abs().amax(-1, keepdim=True).float().clamp(min=1e-12) / LARGEST
    return (x.float() / scale).to(E4M3), scale


class Fp8Linear(nn.Module):
    """A linear layer whose product is computed in E4M3 with float32 sums; its output is bfloat16.

    Attributes:
        weight: (V, W) E4M3. scale: (1, V) float32. bias: (V,) bfloat16, or None.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        """Take over the weights of a linear layer, on its device."""
        super().__init__()
        weight, scale = to_e4m3(linear.weight.detach())
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.t().contiguous())
        bias = None if linear.bias is None else linear.bias.detach().bfloat16()
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:  # (..., W) -> (..., V)
        """Return the products plus the bias."""
        rows, scale = to_e4m3(x.flatten(0, -2))
        out: Tensor = torch._scaled_mm(
            rows,
            self.weight.t(),
            scale_a=scale,
            scale_b=self.scale,
            bias=self.bias,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        return torch.unflatten(out, 0, x.shape[:-1])


def quantize_blocks(transformer: InContextTransformer) -> None:
    """Replace the linear layers of all blocks, in place; adapters have to be merged before."""
    for block in transformer.blocks:
        assert isinstance(block, Block)
        for name in LAYERS:
            if name.startswith("attn2") and not transformer.profile.text_width:
                continue
            linear = block.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            block.set_submodule(name, Fp8Linear(linear))
