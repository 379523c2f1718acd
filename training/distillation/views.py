"""A network's conditioning of a chunk, apart from the noisy sample, under teacher forcing.

Legend: n chunks, B samples, L layers, H heads, N tokens of a chunk, P tokens of the past, M tokens
of a prompt, D channels of a head. A latent is (B, C, F, h, w), without F where a chunk is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from realmaster_live.errors import ConfigError
from realmaster_live.model.cache import RingCache
from realmaster_live.model.in_context import Rope
from realmaster_live.training.experts import Network, commit, transformers_of
from realmaster_live.training.iclora.batches import LatentBatch
from realmaster_live.training.latents import ropes


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The reference, past and prompt of one chunk, as keys and values of one network.

    Attributes:
        reference: latent of the render. context: (L, 2, B, H, N, D) keys and values of the render.
        past: (L, 2, B, H, P, D) keys and values of earlier clean targets.
        rope, past_rope: rotary tables of the chunk and of the past.
        prompt: (L, 2, B, H, M, D) keys and values of the prompt, or None.
    """

    reference: Tensor
    context: Tensor
    past: Tensor
    rope: Rope
    past_rope: Rope
    prompt: Tensor | None

    @property
    def arguments(self) -> tuple[Tensor, Tensor, Tensor, Rope, Rope, Tensor | None]:
        """Return the arguments of a denoise pass after the sample and its time."""
        return (
            self.reference, self.context, self.past, self.rope, self.past_rope, self.prompt,
        )  # fmt: skip

    def without_past(self) -> View:
        """Return a view with an empty past, as after a reset."""
        cos, sin = self.past_rope
        return replace(self, past=self.past[..., :0, :], past_rope=(cos[:0], sin[:0]))


def prompt_kv(network: Network, batch: LatentBatch) -> Tensor | None:
    """Return the prompts' keys and values (L, 2, B, H, M, D); None for a model without prompts."""
    known = network.profile.prompts
    if known:
        places = torch.tensor([known.index(name) for name in batch.prompts])
        (only,) = transformers_of(network)  # prompts are learnt by small models
        return only.prompt(only.prompt_embedding[places])
    if batch.text is None:
        return None
    return network.prompt(batch.text)


def without_prompt(network: Network, batch: LatentBatch, empty: Tensor | None) -> LatentBatch:
    """Return a batch with the first learnt prompt, or with the empty prompt's embedding."""
    count = len(batch.prompts)
    if network.profile.prompts:
        return replace(batch, prompts=(network.profile.prompts[0],) * count)
    if empty is None:
        raise ConfigError(
            "expected an embedding of the empty prompt to guide without a prompt, got none: encode "
            'a clip with the prompt "", or switch guidance off in [dmd2]'
        )
    return replace(batch, text=empty.float().to(batch.target.device).expand(count, -1, -1))


def view(network: Network, reference: Tensor, prompt: Tensor | None, ring: RingCache) -> View:
    """Return a network's view of a chunk, given the chunks in its ring."""
    profile = network.profile
    rows, columns = (side // profile.patch for side in reference.shape[-2:])
    rope = ropes(profile, rows, columns)
    context = network.context(reference, rope, prompt)
    return View(
        reference=reference,
        context=context,
        past=ring.past(context),
        rope=rope,
        past_rope=ropes(profile, rows, columns, tuple(ring.times())),
        prompt=prompt,
    )


def predict(network: Network, x_t: Tensor, t: Tensor, seen: View) -> Tensor:
    """Return x0 of a noisy sample at times (B,), in float32."""
    return network.denoise(x_t, t, *seen.arguments)[0].float()


def push_clean(network: Network, clean: Tensor, seen: View, ring: RingCache) -> None:
    """Push a clean target's keys and values into the ring, without gradients."""
    ring.push(commit(network, clean, *seen.arguments))


def teacher_forced_views(
    network: Network,
    references: Tensor,  # (n, B, ...)
    history: Tensor,  # (n, B, ...), the targets that are the past of later chunks
    prompt: Tensor | None,
) -> Iterator[View]:
    """Yield the views of all chunks, with `history` as the earlier chunks.

    Reference and prompt have gradients, the past has none. A view is large: use it before the next
    one is made.
    """
    ring = RingCache(network.profile)
    for index, (reference, clean) in enumerate(zip(references, history, strict=True)):
        seen = view(network, reference, prompt, ring)
        yield seen
        if index + 1 < len(references):
            push_clean(network, clean, seen, ring)
