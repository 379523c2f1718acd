"""Recomputes activations in the backward pass instead of keeping them (Chen et al. 2016).

The past of a chunk carries no gradient, so the chunks of a rollout meet only in the loss. Where
whole passes are recomputed, the first pass over a rollout keeps the inputs of its passes alone, the
losses see all chunks at once, and the backward pass holds the activations of one pass at a time.
The gradient is the same as that of the whole rollout, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.checkpoint import checkpoint

Recompute = Literal["nothing", "blocks", "passes"]
PASSES = ("context", "denoise")  # of a transformer


def recompute(transformer: nn.Module, what: Recompute) -> None:
    """Let a transformer's later passes recompute activations, in place.

    "blocks" keeps the input of each block. "passes" keeps the input of each pass over a chunk, and
    those of blocks only while one pass is differentiated, for one more forward pass. Passes without
    gradients are as before.
    """
    blocks: list[nn.Module] = list(transformer.blocks)  # type: ignore[arg-type]
    taken = [(block, "forward") for block in blocks if what != "nothing"]
    taken += [(transformer, name) for name in PASSES if what == "passes"]
    for module, name in taken:
        setattr(module, name, partial(_recomputed, getattr(module, name)))


def _recomputed(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call with recomputation; tensors inside lists are kept as an outer recomputation decides."""
    flat, spec = tree_flatten(arguments)
    return checkpoint(
        lambda *given: call(*tree_unflatten(given, spec)),
        *flat,
        use_reentrant=False,
        preserve_rng_state=False,
    )
