"""Prompts: names, texts and embeddings of weathers and looks.

A prompt is a name with an embedding: learnt with a small model, or a text encoder's answer for a
large one. Legend: M tokens of a prompt, C channels of a text encoder.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import BuildError, EngineError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.optional import require
from realmaster_live.system.atomic_files import replacing
from realmaster_live.system.contents import classify_file

PROMPTS_FILE = "prompts.safetensors"  # beside a checkpoint

AS_SIMULATED = "as simulated"  # the prompt of a model that has none

OPENING = "A photorealistic dash camera video of a drive"
WEATHERS: Mapping[str, tuple[str, str]] = {
    "clear": (
        "on a clear sunny day",
        "blue sky, crisp shadows, dry asphalt, natural colours, sharp detail",
    ),
    "rain": (
        "in steady rain",
        "wet reflective asphalt, puddles, falling raindrops, dark clouds, muted colours",
    ),
    "snow": (
        "in winter",
        "snow on the ground, roofs and trees, falling snowflakes, tyre tracks on the road, a pale "
        "sky",
    ),
    "fog": (
        "in dense fog",
        "distant cars and houses fade into white haze, soft light without shadows, damp asphalt",
    ),
    "night": (
        "at night",
        "street lamps, headlights and lit windows, dark sky, glowing tail lights, a little camera "
        "noise",
    ),
    "overcast": (
        "under a closed grey sky",
        "soft even light, no hard shadows, muted natural colours, dry asphalt",
    ),
    "cloudy": ("under broken clouds", "patches of blue sky, soft shadows, natural colours"),
    "wet": ("after rain", "wet reflective asphalt, puddles"),
    "low sun": ("under a low sun", "long shadows, warm light"),
}
"""Name of a weather or time of day -> when, and what is seen."""


def describe(names: Collection[str], place: str = "") -> str:
    """Return a text for an encoder: a drive, where it is known, in some of WEATHERS."""
    known = [WEATHERS[name] for name in names]
    when = " ".join(when for when, _ in known)
    seen = ", ".join(seen for _, seen in known) or "natural colours, sharp detail"
    if "wet" in names:
        seen = seen.replace(", dry asphalt", "")
    return " ".join(filter(None, (OPENING, place, when))) + f": {seen}."


PRESETS: Mapping[str, str] = {
    name: describe([name]) for name in ("clear", "rain", "snow", "fog", "night", "overcast")
}
"""Name of a weather -> the prompt text for an encoder."""

NEGATIVE = "negative"  # the prompt that guidance leads away from: no text, as in training


def to_embed(texts: Sequence[str] = ()) -> dict[str, str]:
    """Return name -> text of what a model's prompts are made of: presets, more texts, no text."""
    return {**PRESETS, **{text: text for text in texts}, NEGATIVE: ""}


class PromptTable(Mapping[str, NDArray[np.float32]]):
    """Embeddings (M, C) float32 by name; the first is the default.

    A prompt is also found by its text.

    Attributes:
        encoder: what made the embeddings, "" where they were learnt.
        texts: name -> the prompt text that was encoded.
    """

    def __init__(
        self,
        embeddings: Mapping[str, NDArray[np.float32]],
        *,
        encoder: str = "",
        texts: Mapping[str, str] | None = None,
    ) -> None:
        self.encoder = encoder
        self.texts = {name: (texts or {}).get(name, name) for name in embeddings}
        self._embeddings = dict(embeddings)
        self._names = {text: name for name, text in self.texts.items()}

    def __getitem__(self, prompt: str) -> NDArray[np.float32]:
        """Return a prompt's embedding; EngineError for one that has none."""
        name = self._names.get(prompt, prompt)
        check_prompt(name, tuple(self._embeddings))
        return self._embeddings[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._embeddings)

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self._embeddings)

    def __contains__(self, prompt: object) -> bool:
        """Return whether a name or a text has an embedding."""
        return prompt in self._embeddings or prompt in self._names

    def save(self, path: Path) -> None:
        """Write a safetensors file whose tensors are named by `key`."""
        safetensors = require("safetensors.numpy", extra="training")
        about = {"encoder": self.encoder, "texts": json.dumps(self.texts)}
        tensors = {
            key(self.encoder, self.texts[name]): np.ascontiguousarray(embedding)
            for name, embedding in self.items()
        }
        with replacing(path) as part:
            safetensors.save_file(tensors, part, metadata=about)

    @classmethod
    def load(cls, path: Path) -> PromptTable:
        """Read what `save` wrote.

        Raises:
            BuildError: the file is damaged, or a text is not the one that was embedded.
        """
        safetensors = require("safetensors", extra="training")
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                about = file.metadata()
                texts, encoder = json.loads(about["texts"]), about["encoder"]
                embeddings = {
                    name: file.get_tensor(key(encoder, text)) for name, text in texts.items()
                }
        except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
            got, remedy = classify_file(path, str(error), "embed them again")
            raise BuildError(f"expected prompts in {path}, got {got}: {remedy}") from error
        return cls(embeddings, encoder=encoder, texts=texts)


def key(encoder: str, text: str) -> str:
    """Return the sha256 under which an encoder's embedding of a text is kept."""
    return hashlib.sha256(f"{encoder}\0{text}".encode()).hexdigest()


def check_prompt(name: str, known: Collection[str]) -> None:
    """Raise EngineError for a prompt that a model has no embedding of; it offers the nearest."""
    if name in known:
        return
    near = difflib.get_close_matches(str(name), list(known), n=3, cutoff=0.4) or list(known)
    raise EngineError(
        f"expected a prompt that this model has an embedding of, got {name!r}: "
        f"use {' or '.join(map(repr, near))}"
    )


class Fade:
    """Which prompt the next chunk has, and how much of it: from 0, the one before, to 1.

    Attributes:
        prompt: the prompt that is shown or faded to.
        weight: its share of the present chunk.
    """

    def __init__(self, prompt: str) -> None:
        self.prompt, self.weight = prompt, 1.0
        self._mixed = self._done = 0

    def start(self, prompt: str, chunks: int) -> None:
        """Let the next `chunks` chunks mix two prompts; those after them have the new one alone."""
        if chunks < 0:
            raise EngineError(
                f"expected fade_chunks of 0 or more, got {chunks}: 0 switches at the next chunk"
            )
        self.prompt, self.weight = prompt, 0.0
        self._mixed, self._done = chunks, 0

    def step(self) -> bool:
        """Move on to the next chunk; return whether its weight is another one."""
        if self.weight == 1.0:
            return False
        self._done += 1
        self.weight = min(1.0, self._done / (self._mixed + 1))
        return True


def with_prompt(chunk: Chunk, fade: Fade) -> Chunk:
    """Return a chunk with the prompt that it shows."""
    return replace(chunk, prompt=fade.prompt, prompt_weight=fade.weight)
