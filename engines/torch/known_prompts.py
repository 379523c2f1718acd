"""The prompts that a transformer has embeddings of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import EngineError
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.prompts import PROMPTS_FILE, PromptTable


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
