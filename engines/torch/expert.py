"""One transformer of the torch engine, with its state: past, reference, prompt and adapter.

Keys and values of one transformer are meaningless to another, so each expert has its own.

Legend: P tokens of the past, M tokens of a prompt, C channels of a text encoder, L layers, D
channels of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmaster_live.engines.torch.buffers import Buffers, ExpertState
from realmaster_live.errors import EngineError
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.in_context import Pair, rotate
from realmaster_live.model.lora import Adapter
from realmaster_live.prompts import PROMPTS_FILE, PromptTable

EXPERTS: tuple[Literal["high_noise"], Literal["low_noise"]] = ("high_noise", "low_noise")
"""As LoRA files name them, in the order of a checkpoint."""


class Expert:
    """Runs one transformer over fixed buffers, and holds the prompt that it attends to.

    With `recompute`, the reference's keys and values are computed anew in every pass.

    Attributes:
        transformer: the network. state: keys and values that it keeps between passes.
        prompts: the prompts that it has embeddings of.
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
    ) -> None:
        self.transformer, self.state = transformer, state
        self.prompts, self.adapter = prompts, adapter
        self._buffers, self._recompute = buffers, recompute
        self._prompt_kv: dict[str, Tensor] = {}
        self._fade_start: Tensor | None = None

    def context(self) -> None:
        """Compute the reference's keys, rotated, and its values."""
        buffers, state = self._buffers, self.state
        _, modulation = self.transformer.condition_embedder(buffers.timesteps[0.0])
        x = self.transformer.embed_reference(buffers.reference).float()
        _, pairs = self.transformer.through_blocks(x, modulation, buffers.rope, (), state.prompt_kv)
        for place, (key, value) in zip(state.context, pairs, strict=True):
            place[0].copy_(rotate(key, buffers.rope))
            place[1].copy_(value)

    def predict(self, x: Tensor, t: float, past_tokens: int) -> Tensor:
        """Return x0 of a latent at timestep t, P = `past_tokens`."""
        buffers = self._buffers
        embedding, hidden, _ = self._through(x, t, past_tokens)
        return self.transformer.predict(
            hidden, embedding, x, buffers.timesteps[t], buffers.reference
        )

    def commit(self, past_tokens: int) -> None:
        """Run the pass over the clean latent and write its keys and values for the ring, if any."""
        _, _, pairs = self._through(self._buffers.latent, 0.0, past_tokens)
        if self.state.ring.places:
            self.state.ring.write(pairs)

    def rotate_past(self, past_tokens: int) -> None:
        """Rotate the ring's keys for the next chunk, which has P = `past_tokens`."""
        self.state.ring.rotate_past(past_tokens)

    def prompt(self, name: str) -> Tensor:  # (L, 2, 1, heads, M, D)
        """Return a prompt's keys and values, computed once."""
        if name not in self._prompt_kv:
            shown = self._shown()
            text = torch.from_numpy(self.prompts[name])[None].to(shown.device)
            answer = self.transformer.prompt(text)
            if answer.shape != shown.shape:
                raise EngineError(
                    f"expected prompts of {shown.shape[4]} tokens, got {answer.shape[4]} of "
                    f"{name!r}: embed all with the same text encoder"
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
        self._fade_start = self._shown().clone()
        self.prompt(name)

    def set_strength(self, strength: float) -> None:
        """Merge the adapter, if any, at another strength."""
        if self.adapter is not None:
            self.adapter.strength = strength
            self._prompt_kv = {}  # computed by layers that have just changed

    def _shown(self) -> Tensor:
        """Return the buffer from which the passes read the prompt's keys and values."""
        assert self.state.prompt_kv is not None
        return self.state.prompt_kv

    def _through(
        self, sample: Tensor, t: float, past_tokens: int
    ) -> tuple[Tensor, Tensor, list[Pair]]:
        """Return the timestep's embedding, the last hidden state, every block's keys and values."""
        buffers, state, transformer = self._buffers, self.state, self.transformer
        if self._recompute:
            self.context()
        known = [(pair[0], pair[1]) for pair in state.context]
        past = state.ring.past(past_tokens) if past_tokens else []
        groups = (
            [[*pair] for pair in zip(known, past, strict=True)]
            if past_tokens
            else [[x] for x in known]
        )
        embedding, modulation = transformer.condition_embedder(buffers.timesteps[t])
        # float32 from the first block on, also under autocast: then one compilation serves all
        x = transformer.embed_target(sample, buffers.reference).float()
        hidden, pairs = transformer.through_blocks(
            x, modulation, buffers.rope, groups, state.prompt_kv
        )
        return embedding, hidden, pairs


def attach_file(transformer: InContextTransformer, path: Path | str, place: int) -> Adapter:
    """Attach a LoRA file's adapter to an expert; an expert named in the file must be this one."""
    from realmaster_live.model.lora_files import load, read_facts  # which need safetensors

    facts = read_facts(Path(path))
    named = facts is not None and facts.expert is not None
    return load(Path(path), transformer, expert=EXPERTS[place] if named else None)


def learnt_prompts(transformer: InContextTransformer) -> PromptTable:
    """Return the embeddings that were learnt with a model; empty where there are none."""
    names = transformer.profile.prompts
    if not names:
        return PromptTable({})
    values = transformer.prompt_embedding.detach().float().cpu().numpy()
    return PromptTable(dict(zip(names, values, strict=True)))


def known_prompts(
    transformer: InContextTransformer,
    checkpoint: Path | None,
    given: Mapping[str, NDArray[np.float32]],
) -> PromptTable:
    """Return the learnt prompts, those stored beside a checkpoint, and the given ones, merged."""
    path = None if checkpoint is None else checkpoint / PROMPTS_FILE
    kept = PromptTable.load(path) if path is not None and path.exists() else PromptTable({})
    known = PromptTable({**learnt_prompts(transformer), **kept, **given}, texts=kept.texts)
    width = transformer.profile.text_width
    for name, embedding in known.items():
        if embedding.ndim != 2 or embedding.shape[1] != width:
            raise EngineError(
                f"expected embeddings (tokens, {width}), got {embedding.shape} of {name!r}: "
                "use the text encoder that the model was trained with"
            )
    if width and not known:
        raise EngineError(
            f"expected embeddings of prompts for {transformer.profile.name}, got none: embed some "
            f"with realmaster prompts CHECKPOINT --encoder ENCODER, which writes {PROMPTS_FILE}"
        )
    return known
