"""An engine wrapper that fades between prompts picture by picture, so that a change has no seam.

An engine that mixes two prompts shows one mixture for a whole chunk, so each border of a fade is a
step. Here an engine for each prompt realizes the chunks of a fade, and every frame has a share of
its own.

Legend: T frames of a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.chunk import Chunk
from realmaster_live.live.wrapper import EngineWrapper, innermost, realized_again
from realmaster_live.prompts import Fade
from realmaster_live.protocols import Engine, PromptedEngine, SharingEngine

EMBEDDED = "embedded"  # the name of the model that is small enough to run twice
MOST = 2  # engines of earlier prompts, while one fade begins within another


@dataclass(frozen=True, kw_only=True)
class _Leaving:
    """An engine that still shows an earlier prompt, and its share among such engines."""

    engine: Engine
    share: float


class DissolveEngine(EngineWrapper):
    """Fades by mixing the pictures of two engines that share their weights.

    A chunk of a fade costs twice what others do. The arriving engine begins without a past, which
    its first frames, with hardly a share, do not show. A chunk's `prompt_weight` is that of its
    last frame: k / (n + 1) in the k-th chunk of a fade over n, as engines state theirs.

    Attributes:
        engine: for the prompt that is shown or faded to.
    """

    engine: SharingEngine

    def __init__(self, engine: SharingEngine) -> None:
        """Wrap an engine and own it."""
        super().__init__(engine)
        self._fade = Fade("")
        self._leaving: list[_Leaving] = []
        self._shares: NDArray[np.float32] | None = None  # (T,) of the last chunk

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> None:
        """Show a prompt from the next chunk on, faded to over `fade_chunks` chunks."""
        if fade_chunks < 1:
            self.engine.set_prompt(prompt, fade_chunks)
            self._drop()
            return
        arriving = self.engine.sibling()
        try:
            arriving.set_prompt(prompt)
        except BaseException:
            arriving.close()
            raise
        shown = self._fade.weight if self._leaving else 1.0
        layers = [replace(each, share=each.share * (1 - shown)) for each in self._leaving]
        layers = sorted([*layers, _Leaving(engine=self.engine, share=shown)], key=_share)
        for faint in layers[:-MOST]:
            faint.engine.close()
        total = sum(each.share for each in layers[-MOST:])
        self._leaving = [replace(each, share=each.share / total) for each in layers[-MOST:]]
        self.engine = arriving
        self._fade.start(prompt, fade_chunks)

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the realized chunk; in a fade, mixed frame by frame."""
        if self._leaving and self._fade.weight == 1.0:
            self._drop()
        made = self.engine.realize(chunk)
        self._shares = None
        if not self._leaving:
            return made
        before = self._fade.weight
        self._fade.step()
        self._shares = np.linspace(before, self._fade.weight, len(chunk) + 1, dtype=np.float32)[1:]
        return self._mixed(made, [each.engine.realize(chunk) for each in self._leaving])

    def realize_again(self, chunk: Chunk, seed: int) -> Chunk:
        """Return the chunk realized last, from another seed and in the same mixture."""
        made = realized_again(self.engine, chunk, seed)
        if self._shares is None:
            return made
        return self._mixed(
            made, [realized_again(each.engine, chunk, seed) for each in self._leaving]
        )

    def reset(self) -> None:
        """Forget all earlier chunks; a fade goes on."""
        super().reset()
        for each in self._leaving:
            each.engine.reset()

    def close(self) -> None:
        """Close all engines; may be called twice."""
        self._drop()
        super().close()

    def _mixed(self, made: Chunk, others: list[Chunk]) -> Chunk:
        """Return the pictures of all engines by their shares."""
        assert self._shares is not None
        arriving = self._shares[:, None, None, None]
        frames = arriving * made.frames
        for each, other in zip(self._leaving, others, strict=True):
            frames += (1 - arriving) * np.float32(each.share) * other.frames
        mixed = np.rint(frames).clip(0, 255).astype(np.uint8)
        return replace(made, frames=mixed, prompt_weight=float(self._fade.weight))

    def _drop(self) -> None:
        """Close the engines of earlier prompts."""
        for each in self._leaving:
            each.engine.close()
        self._leaving, self._shares = [], None


def _share(layer: _Leaving) -> float:
    return layer.share


def dissolving(engine: PromptedEngine) -> PromptedEngine:
    """Return an engine for one camera of the embedded model inside a DissolveEngine.

    Other models are as they are: they mix the prompts themselves, at no cost.
    """
    small = getattr(innermost(engine), "name", "") == EMBEDDED
    one = getattr(engine, "cameras", 1) == 1
    return DissolveEngine(engine) if small and one and isinstance(engine, SharingEngine) else engine
