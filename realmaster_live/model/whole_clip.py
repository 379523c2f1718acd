"""Predicts a whole clip without a cache, with classifier-free guidance, for the quality mode.

Attention is that of live engines and of training: the reference attends to itself, the target
attends to both. Reference and target go through each block together, so that only one block's keys
and values are in memory.

Legend: B batch, N tokens of the clip, M tokens of a prompt, L layers, H heads, D channels of a
head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.in_context import Pair, Rope, rotate


def guided(other: Tensor, x0: Tensor, guidance: float) -> Tensor:
    """Return x0 guided away from `other`, another prompt's x0 (Ho & Salimans 2022, eq. 6).

    A guidance of 1 returns x0. The formula also holds for velocities, which are linear in x0.
    """
    return other + guidance * (x0 - other)


def reference_pairs(
    model: InContextTransformer, reference: Tensor, rope: Rope, prompt_kv: Tensor | None
) -> list[Pair]:
    """Return every block's rotated keys and values of a clip's reference."""
    _, modulation = model.condition_embedder(torch.zeros(1, device=reference.device))
    x = model.embed_reference(reference).float()
    _, pairs = model.through_blocks(x, modulation, rope, (), prompt_kv)
    return [(rotate(key, rope), value) for key, value in pairs]


def predict_clip(
    model: InContextTransformer,
    sample: Tensor,  # latent (1 - t) x0 + t noise
    timestep: Tensor,  # (1,) float32 t in [0, 1]
    rope: Rope,
    reference: Tensor,  # latent
    prompt_kv: Tensor | None = None,  # (L, 2, B, H, M, D)
    reference_kv: Sequence[Pair]
    | None = None,  # of `reference_pairs`; None computes them on the way
) -> Tensor:
    """Return x0 of a whole clip, like `context` and `denoise` without a past."""
    embedding, modulation = model.condition_embedder(timestep)
    x = model.embed_target(sample, reference).float()
    y, clean = None, None
    if reference_kv is None and model.profile.in_context:
        _, clean = model.condition_embedder(torch.zeros_like(timestep))
        y = model.embed_reference(reference).float()
    for layer, block in enumerate(model.blocks):
        prompt = None if prompt_kv is None else (prompt_kv[layer, 0], prompt_kv[layer, 1])
        seen: list[Pair] = [reference_kv[layer]] if reference_kv else []
        if y is not None:
            y, (key, value) = block(y, clean, rope, (), prompt)
            seen = [(rotate(key, rope), value)]
        x, _ = block(x, modulation, rope, seen, prompt)
    return model.predict(x, embedding, sample, timestep, reference)
