"""Mixed precision under autocast: products in bfloat16, sensitive operations in float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from realmaster_live.model.dit import ConditionEmbedder


class Float32LayerNorm(nn.LayerNorm):
    """A LayerNorm with float32 input and output."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised tokens."""
        return super().forward(x.float())


class Float32ConditionEmbedder(ConditionEmbedder):
    """A ConditionEmbedder that disables autocast for timesteps."""

    def forward(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings and modulations, float32."""
        with torch.autocast(timestep.device.type, enabled=False):
            return super().forward(timestep)


def mix_precision(module: nn.Module) -> None:
    """Prepare a network for autocast, in place; idempotent.

    Weights of products become bfloat16. The time embedder, the modulations, the residual stream and
    its norms stay float32. Keys, queries and values are bfloat16, and so are attention and the
    ring. Convolutions of pictures use the channels-last layout: tensor cores prefer it, and on a
    CPU without bfloat16 products it takes a tenth of the time.
    """
    for child in module.children():
        if isinstance(child, ConditionEmbedder):
            child.__class__ = Float32ConditionEmbedder
        elif isinstance(child, nn.LayerNorm):
            child.__class__ = Float32LayerNorm
        elif isinstance(child, nn.Conv2d):
            child.to(torch.bfloat16)
            child.weight.data = child.weight.data.contiguous(memory_format=torch.channels_last)
        elif isinstance(child, (nn.Linear, nn.Conv3d)):
            child.to(torch.bfloat16)
        else:
            mix_precision(child)
