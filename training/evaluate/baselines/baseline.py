"""The interface of a method that realizes a rendered film, one piece of it after the other.

Legend: T frames, H W pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from realmaster_live.training.pairs.stage import Value

PROMPT = (
    "Transform this game render into a realistic photograph filmed by the camera of a driving car, "
    "with natural light, real materials and real textures."
)
"""For editors that are told what to do; it says only what changes, as their makers advise."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """Consecutive frames of a rendered film.

    Attributes:
        frames: (T, H, W, 3) uint8 sRGB.
        fps: frames a second.
    """

    frames: NDArray[np.uint8]
    fps: float

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height in pixels."""
        return self.frames.shape[2], self.frames.shape[1]

    @property
    def seconds(self) -> float:
        """Return how long the piece is."""
        return len(self.frames) / self.fps

    @cached_property
    def sha256(self) -> str:
        """Return the hash of the frames and of their shape."""
        found = hashlib.sha256(repr(self.frames.shape).encode())
        found.update(np.ascontiguousarray(self.frames).data)
        return found.hexdigest()


class Baseline(Protocol):
    """Realizes pieces; holds its networks between them.

    Attributes:
        parameters: everything besides the piece that decides its film, ready for JSON; reading it
            loads no network.
    """

    @property
    def parameters(self) -> Mapping[str, Value]:
        """What decides a piece's film besides the piece."""

    def window(self, fps: float) -> int:
        """Return the most frames of a piece of a film at `fps`."""

    def check(self) -> None:
        """Raise ConfigError or MissingDependency, which say what to do, where it cannot run."""

    def realize(self, piece: Piece, place: Path) -> NDArray[np.uint8]:
        """Return the piece realized, (T, H, W, 3) of any size.

        Args:
            piece: what to realize.
            place: where the film of the piece will be. A method that spends money writes beside it
                what it has ordered; others ignore it.

        Raises:
            PairError: it cannot be realized; the run may be repeated.
        """


@runtime_checkable
class PaidBaseline(Baseline, Protocol):
    """A method that costs money."""

    @property
    def vendor(self) -> str:
        """Whom the frames are sent to, and who is paid."""

    def usd(self, seconds: float) -> float:
        """Return the list price of a piece of so many seconds."""

    def is_ordered(self, place: Path) -> bool:
        """Return whether a piece has been ordered: nothing more is spent on it."""
