"""A transformer of the torch engine with its state: past, reference, prompt and adapter.

Keys and values of one transformer mean nothing to another, so each expert has its own.

Legend: P tokens of the past, M tokens of a prompt, L layers, D channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from realmaster_live.engines.slots import Slots
from realmaster_live.engines.torch.buffers import Buffers, ExpertState
from realmaster_live.engines.torch.store import Move, move_by_layer, move_rows
from realmaster_live.errors import EngineError
from realmaster_live.model.attention import Kernel, fastest, kernel
from realmaster_live.model.dit import Block, InContextTransformer
from realmaster_live.model.in_context import Attention, Rows
from realmaster_live.model.lora import Adapter
from realmaster_live.prompts import PromptTable


@dataclass(frozen=True, kw_only=True)
class Passes:
    """The three operations on keys and values, either eager or compiled.

    Attributes:
        run_block: `Block.stored`. store_pair: `Block.store_pair`.
        move: moves rows of a store (`engines.torch.store`).
    """

    run_block: Callable[..., Tensor] = Block.stored
    store_pair: Callable[..., None] = Block.store_pair
    move: Move = move_by_layer

    @classmethod
    def compiled(cls) -> Passes:
        """Return them compiled, once per shape for all layers."""
        return cls(
            run_block=torch.compile(Block.stored, dynamic=False),
            store_pair=torch.compile(Block.store_pair, dynamic=False),
            move=torch.compile(move_rows, dynamic=False),
        )


class Expert:
    """Runs one transformer over fixed buffers, and holds the prompt that it attends to.

    With `recompute`, the reference's keys and values are computed in every pass.

    Attributes:
        transformer: the network. state: the keys and values that it keeps between passes.
        prompts: the embeddings of its prompts.
        adapter: the LoRA that is merged into it, if any.
    """

    def __init__(
        self,
        transformer: InContextTransformer,
        buffers: Buffers,
        state: ExpertState,
        *,
        prompts: PromptTable,
        adapter: Adapter | None,
        recompute: bool,
        passes: Passes,
    ) -> None:
        self.transformer, self.state = transformer, state
        self.prompts, self.adapter = prompts, adapter
        self._buffers, self._recompute, self._passes = buffers, recompute, passes
        self._prompt_kv: dict[str, Tensor] = {}
        self._fade_start: Tensor | None = None

    def use_attention(self, kernel: Kernel) -> None:
        """Compute attention with a kernel of `model.attention`."""
        for module in self.transformer.modules():
            if isinstance(module, Attention):
                module.kernel = kernel

    def context(self) -> None:
        """Compute the reference's rotated keys and its values, if the model has a reference."""
        if not self.transformer.profile.in_context:
            return
        buffers, transformer = self._buffers, self.transformer
        _, modulation = transformer.condition_embedder(buffers.timesteps[0.0])
        x = transformer.embed_reference(buffers.reference).float()
        self._fill(x, modulation, self.state.store.reference())

    def predict(self, x: Tensor, t: float, past_tokens: int) -> Tensor:
        """Return x0 of a latent at timestep t, P = `past_tokens`."""
        buffers, transformer = self._buffers, self.transformer
        if self._recompute:
            self.context()
        embedding, modulation = transformer.condition_embedder(buffers.timesteps[t])
        store = self.state.store.seen_by_target(past_tokens)
        hidden = self._through(self._embed(x), modulation, store, transformer.profile.layers)
        return transformer.predict(hidden, embedding, x, buffers.timesteps[t], buffers.reference)

    def commit(self, past_tokens: int) -> None:
        """Run the pass over the clean latent, which writes its keys and values to the store."""
        if self._recompute:
            self.context()
        _, modulation = self.transformer.condition_embedder(self._buffers.timesteps[0.0])
        x = self._embed(self._buffers.latent)
        self._fill(x, modulation, self.state.store.seen_by_target(past_tokens))

    def settle(self, slots: Slots) -> None:
        """Make the committed chunk part of the past, given the slots before it."""
        self.state.store.settle(slots, self._passes.move)

    def prompt(self, name: str) -> Tensor:  # (L, 2, 1, heads, M, D)
        """Return a prompt's keys and values, which are computed once."""
        if name not in self._prompt_kv:
            shown = self._shown()
            text = torch.from_numpy(self.prompts[name])[None].to(shown.device)
            answer = self.transformer.prompt(text)
            if answer.shape[4] != shown.shape[4]:
                raise EngineError(
                    f"expected prompts of {shown.shape[4]} tokens, got {answer.shape[4]} of "
                    f"{name!r}: embed all of them with the same text encoder"
                )
            self._prompt_kv[name] = answer.to(shown.dtype)
        return self._prompt_kv[name]

    def show(self, name: str, weight: float = 1.0) -> None:
        """Set the prompt, or its interpolation with the one that the fade started from."""
        new = self.prompt(name)
        if weight != 1.0:
            assert self._fade_start is not None
            new = torch.lerp(self._fade_start, new, weight)
        self._shown().copy_(new)

    def start_fade(self, name: str) -> None:
        """Keep the present prompt's keys and values as the start of a fade to another prompt."""
        self._fade_start = self._shown()[:, :, :1].clone()  # all cameras have the same
        self.prompt(name)

    def set_strength(self, strength: float) -> None:
        """Merge the adapter, if any, at another strength."""
        if self.adapter is not None:
            self.adapter.strength = strength
            self._prompt_kv = {}  # the layers that computed them have changed

    def _shown(self) -> Tensor:
        """Return the buffer from which the passes read the prompt's keys and values."""
        assert self.state.prompt_kv is not None
        return self.state.prompt_kv

    def _embed(self, sample: Tensor) -> Tensor:
        """Return the target's tokens."""
        # float32 under autocast too, so that one compiled block serves all layers
        return self.transformer.embed_target(sample, self._buffers.reference).float()

    def _through(self, x: Tensor, modulation: Tensor, store: Rows, layers: int) -> Tensor:
        """Return the hidden state after some layers; store their keys and values."""
        prompt = self.state.prompt_kv
        for layer, block in enumerate(islice(self.transformer.blocks, layers)):
            text = None if prompt is None else (prompt[layer, 0], prompt[layer, 1])
            rows = store[0][layer], store[1][layer]
            x = self._passes.run_block(block, x, modulation, self._buffers.rope, rows, text)
        return x

    def _fill(self, x: Tensor, modulation: Tensor, store: Rows) -> None:
        """Fill the first rows of a store; the last block only computes keys and values."""
        last = self.transformer.profile.layers - 1
        x = self._through(x, modulation, store, last)
        own = store[0][last, :, : x.shape[1]], store[1][last, :, : x.shape[1]]
        block = self.transformer.blocks[last]
        self._passes.store_pair(block, x, modulation, self._buffers.rope, own)


def use_fastest(experts: Sequence[Expert], device: torch.device, *, exact: bool) -> str:
    """Have experts compute attention with the fastest kernel of a device; return its name."""
    profile, store = experts[0].transformer.profile, experts[0].state.store
    shape = (profile.heads, store.tokens, store.rows[0].shape[2], profile.head_width)
    name = fastest(device, shape, exact=exact)
    for expert in experts:
        expert.use_attention(kernel(name))
    return name
