"""What can be changed of a run's engines while it goes on: for any thread, by asking."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal, Protocol

Control = Literal["prompt", "strength", "seed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the engines of a run let people change.

    Attributes:
        prompts: names of the weathers and looks that they know; empty where an engine takes
            prompts without listing them.
        strength: the factor on the adapters' strengths; None where it cannot be set.
        seed: of the noise; None where it cannot be set.
        lacks: control -> why it cannot be changed, as a sentence.
    """

    prompts: tuple[str, ...] = ()
    strength: float | None = None
    seed: int | None = None
    lacks: Mapping[Control, str] = field(default_factory=dict)


class Controls(Protocol):
    """The controls of a run's engines.

    Nothing here blocks: a change is applied to all engines of the run before the next chunk, on the
    thread that realizes. Its Future says whether it was (True), or a later one of the same control
    took its place or the run ended before (False); it raises what the engine refused it with.
    """

    @property
    def offer(self) -> Offer:
        """What can be changed, and how it is set as of the last chunk."""

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> Future[bool]:
        """Ask for another weather or look, cross-fading over `fade_chunks` chunks."""

    def set_strength(self, strength: float) -> Future[bool]:
        """Ask for another factor on the adapters' strengths."""

    def set_seed(self, seed: int) -> Future[bool]:
        """Ask for other noise."""
