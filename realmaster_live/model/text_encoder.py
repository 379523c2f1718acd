"""Embeds prompts with Wan's text encoder, UMT5, through transformers.

Legend: K prompts, M tokens, C channels of the encoder.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from realmaster_live.errors import BuildError
from realmaster_live.optional import require
from realmaster_live.prompts import PRESETS, PROMPTS_FILE, PromptTable

TEXT_TOKENS = 512  # tokens of a prompt, as Wan was trained


@torch.no_grad()
def embed_text(
    texts: Sequence[str],
    *,
    encoder: str | Path,
    tokens: int = TEXT_TOKENS,
    dtype: torch.dtype = torch.float32,
) -> NDArray[np.float32]:
    """Return embeddings (K, M, C) float32, with zeros after each text, as diffusers pads for Wan.

    `encoder` is a folder or a name that transformers loads: a UMT5 encoder and its tokenizer, in
    one folder or in the sub-folders text_encoder and tokenizer, as in a diffusers pipeline.
    """
    transformers = require("transformers", extra="training")
    folder = Path(encoder)
    parts = [folder / name for name in ("text_encoder", "tokenizer")]
    model_at, tokenizer_at = parts if parts[0].is_dir() else (encoder, encoder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_at)
    model = transformers.UMT5EncoderModel.from_pretrained(model_at, dtype=dtype).eval()
    cleaned = [" ".join(html.unescape(text).split()) for text in texts]
    given = tokenizer(
        cleaned,
        padding="max_length",
        max_length=tokens,
        truncation=True,
        add_special_tokens=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    mask = given.attention_mask
    hidden = model(given.input_ids, mask).last_hidden_state.float() * mask[..., None]
    answer: NDArray[np.float32] = hidden.numpy()
    return answer


def embed_prompts(
    checkpoint_dir: Path,
    *,
    encoder: str | Path,
    prompts: Mapping[str, str] = PRESETS,
    tokens: int = TEXT_TOKENS,
    width: int | None = None,
) -> PromptTable:
    """Embed texts by name and store them beside a checkpoint; stored ones are not embedded again.

    Raises:
        BuildError: the encoder's channels differ from `width`, the model's text width.
    """
    path = checkpoint_dir / PROMPTS_FILE
    known = PromptTable.load(path) if path.exists() else PromptTable({}, encoder=str(encoder))
    if known.encoder != str(encoder):
        known = PromptTable({}, encoder=str(encoder))
    new = {name: text for name, text in prompts.items() if known.texts.get(name) != text}
    fresh = embed_text(list(new.values()), encoder=encoder, tokens=tokens) if new else ()
    for name, embedding in zip(new, fresh, strict=True):
        if width is not None and embedding.shape[1] != width:
            raise BuildError(
                f"expected embeddings of {width} channels, got {embedding.shape[1]} of {name!r} "
                f"from {encoder}: use the text encoder that the model was trained with"
            )
    table = PromptTable(
        {**known, **dict(zip(new, fresh, strict=True))},
        encoder=str(encoder),
        texts={**known.texts, **new},
    )
    table.save(path)
    return table
