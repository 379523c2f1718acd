"""Captions as embeddings: one file a caption and text encoder, however many clips share it."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.model.text_encoder import TEXT_TOKENS, embed_text
from realmaster_live.system.atomic_files import replacing
from realmaster_live.system.contents import classify_file
from realmaster_live.training.pairs.hub import fetch
from realmaster_live.training.pairs.manifest import read_clips
from realmaster_live.training.pairs.store import object_path

EMPTY = ""
MOST_TOKENS = 65_536  # of a caption
SUFFIX = ".safetensors"
LICENCE = "Apache-2.0"  # of UMT5
FILES = ("text_encoder/*", "tokenizer/*")  # of a pipeline on the hub


def key_of(caption: str, *, encoder: str, tokens: int = TEXT_TOKENS) -> str:
    """Return the name of a caption's embedding."""
    return hashlib.sha256(json.dumps(["text", encoder, tokens, caption]).encode()).hexdigest()


def ensure(dataset: Path, caption: str, *, encoder: str, tokens: int = TEXT_TOKENS) -> str:
    """Return the key of a caption's embedding, which is in the dataset's objects afterwards.

    Where it is not yet, one process of the machine loads the encoder and embeds every caption of
    the dataset, and the empty one, to which training drops captions.

    Raises:
        ConfigError: the encoder is not here and cannot be fetched.
    """
    key = key_of(caption, encoder=encoder, tokens=tokens)
    if object_path(dataset, key, SUFFIX).exists():
        return key
    with _alone(dataset):
        captions = {clip.prompt for clip in read_clips(dataset)} | {caption, EMPTY}
        missing = sorted(c for c in captions if not _path(dataset, c, encoder, tokens).exists())
        if missing:
            _embed(dataset, missing, encoder, tokens)
    return key


def read_text(path: Path) -> Tensor:
    """Return an embedding (M, C) float32, zero behind the text's end.

    Raises:
        PairError: the file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            tokens = int(file.metadata()["tokens"])
            found: Tensor = file.get_tensor("embedding")
        if found.ndim != 2 or not len(found) <= tokens <= MOST_TOKENS:
            raise ValueError(f"{tokens} tokens of the shape {tuple(found.shape)}")
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        got, remedy = classify_file(path, str(error), "encode and pack again")
        raise PairError(
            f"expected the embedding of a caption in {path}, got {got}: {remedy}"
        ) from error
    return torch.cat((found, found.new_zeros(tokens - len(found), found.shape[1])))


def _embed(dataset: Path, captions: list[str], encoder: str, tokens: int) -> None:
    folder = fetch(encoder, "text_encoder", files=FILES, licence=LICENCE)
    try:
        embeddings = embed_text(captions, encoder=folder, tokens=tokens)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"expected a UMT5 encoder and its tokenizer in {folder}, got "
            f"{str(error).splitlines()[0]}: name another text_encoder, or fetch it again"
        ) from error
    for caption, embedding in zip(captions, embeddings, strict=True):
        whole = torch.from_numpy(embedding)
        length = int(whole.any(dim=1).nonzero().max()) + 1  # zeros follow: 4 MB of them in Wan
        tensors = {"embedding": whole[:length].clone()}
        facts = {"caption": caption, "encoder": encoder, "tokens": str(tokens)}
        with replacing(_path(dataset, caption, encoder, tokens)) as part:
            save_file(tensors, part, metadata=facts)


def _path(dataset: Path, caption: str, encoder: str, tokens: int) -> Path:
    return object_path(dataset, key_of(caption, encoder=encoder, tokens=tokens), SUFFIX)


@contextmanager
def _alone(dataset: Path) -> Iterator[None]:
    """Let one process of this machine at a time in: the encoder may need most of its memory."""
    path = dataset / "objects" / "texts.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
