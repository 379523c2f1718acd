"""The transformers of a profile as one network: every pass runs the expert of its noise level.

Keys and values of one expert are meaningless to another. So each makes its own of the prompt, the
reference and the clean target, and they are joined along the layers: L counts all experts' layers.

Legend: E experts, L layers of all of them, B batch, H heads, N tokens of a chunk, P tokens of the
past, M tokens of a prompt, D channels of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.in_context import Rope
from realmaster_live.model.networks import expert_at
from realmaster_live.model.profile import Profile


class Experts(nn.Module):
    """Several transformers of one size, with the methods of one.

    Args:
        transformers: in the order of a checkpoint, the one for the noisier timesteps first.
    """

    def __init__(self, transformers: Sequence[InContextTransformer]) -> None:
        super().__init__()
        self.transformers = nn.ModuleList(transformers)
        self.profile: Profile = transformers[0].profile

    def prompt(self, text: Tensor) -> Tensor:  # (B, M, text width) -> (L, 2, B, H, M, D)
        """Return the prompt's keys and values for every block of every expert."""
        return torch.cat([each.prompt(text) for each in transformers_of(self)])

    def context(self, reference: Tensor, rope: Rope, prompt_kv: Tensor | None = None) -> Tensor:
        """Return every expert's rotated keys and values of the reference."""
        return torch.cat(
            [
                each.context(reference, rope, self._part(prompt_kv, index))
                for index, each in enumerate(transformers_of(self))
            ]
        )

    def denoise(
        self,
        sample: Tensor,
        timestep: Tensor,  # (B,)
        reference: Tensor,
        reference_kv: Tensor,  # (L, 2, B, H, N, D)
        past_kv: Tensor,  # (L, 2, B, H, P, D)
        rope: Rope,
        past_rope: Rope,
        prompt_kv: Tensor | None = None,  # (L, 2, B, H, M, D)
    ) -> tuple[Tensor, Tensor]:
        """Return x0 by the expert of each sample's timestep, and no keys: see `commit`."""
        parts, order = [], []
        for index, samples in self.turns(timestep):
            x0, _ = self._expert(index).denoise(
                sample[samples],
                timestep[samples],
                reference[samples],
                reference_kv[self._layers(index)][:, :, samples],
                past_kv[self._layers(index)][:, :, samples],
                rope,
                past_rope,
                None if prompt_kv is None else prompt_kv[self._layers(index)][:, :, samples],
            )
            parts.append(x0)
            order += samples
        inverse = sorted(range(len(order)), key=order.__getitem__)
        return torch.cat(parts)[inverse], past_kv[:0]

    def turns(self, timestep: Tensor) -> list[tuple[int, list[int]]]:  # (B,)
        """Return the experts that are needed, each with the numbers of its samples."""
        chosen = [expert_at(self.profile, t) for t in timestep.tolist()]
        return [(e, [i for i, c in enumerate(chosen) if c == e]) for e in sorted({*chosen})]

    def _expert(self, index: int) -> InContextTransformer:
        return transformers_of(self)[index]

    def _layers(self, index: int) -> slice:
        return slice(index * self.profile.layers, (index + 1) * self.profile.layers)

    def _part(self, kv: Tensor | None, index: int) -> Tensor | None:
        return None if kv is None else kv[self._layers(index)]


Network = InContextTransformer | Experts


def transformers_of(network: Network) -> list[InContextTransformer]:
    """Return a network's transformers, one for each expert."""
    if isinstance(network, InContextTransformer):
        return [network]
    return list(network.transformers)  # type: ignore[arg-type]


def joined(transformers: Sequence[InContextTransformer]) -> Network:
    """Return the only transformer, or several as one network."""
    return transformers[0] if len(transformers) == 1 else Experts(transformers)


@torch.no_grad()
def commit(
    network: Network,
    clean: Tensor,  # latent
    reference: Tensor,
    reference_kv: Tensor,
    past_kv: Tensor,
    rope: Rope,
    past_rope: Rope,
    prompt_kv: Tensor | None = None,
) -> Tensor:  # (L, 2, B, H, N, D)
    """Return a clean target's keys and values, which the ring keeps: a pass at t = 0."""
    layers, kept = network.profile.layers, []
    for index, transformer in enumerate(transformers_of(network)):
        own = slice(index * layers, (index + 1) * layers)
        text = None if prompt_kv is None else prompt_kv[own]
        seen = (reference, reference_kv[own], past_kv[own], rope, past_rope, text)
        kept.append(transformer.denoise(clean, torch.zeros(len(clean)), *seen)[1])
    return kept[0] if len(kept) == 1 else torch.cat(kept)
