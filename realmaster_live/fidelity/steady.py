"""An engine wrapper that keeps the engine's own changes to the render steady over time.

A causal network guesses light and texture anew for every chunk, which shows as a pulse at the
borders of chunks. What is averaged here is not the picture but what the engine adds to the render,
along the motion of each surface: so nothing lags behind the simulator.

Legend: T frames, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.motion import View, places_before, warp
from realmaster_live.frames.chunk import Chunk
from realmaster_live.live.wrapper import (
    EngineWrapper,
    innermost,
    realized_again,
    realized_together,
)
from realmaster_live.protocols import Engine, PromptedEngine

KEEP = 0.9  # of what was added a frame earlier
EMBEDDED = "embedded"  # the name of the model that pulses
MAX_CHANGE = 30  # levels by which the render may differ from itself along the motion
MAX_STEP = 24  # levels by which what is added may differ: more is a shadow or a halo that moved
BLUR_SHARE = 73  # of the width: 7 pixels of 512; what is finer is not averaged, or it would smear


@dataclass(frozen=True, kw_only=True)
class _Past:
    """What a camera's last frame showed.

    Attributes:
        added: (H, W, 3) float32, realized minus rendered. rendered: (H, W, 3) uint8.
    """

    added: NDArray[np.float32]
    rendered: NDArray[np.uint8]
    view: View


class SteadyEngine(EngineWrapper):
    """Averages what an engine adds to the render over time, along the motion of each surface.

    Added is a moving average: what the engine adds now, moved by `keep` towards what was added to
    the same surface a frame earlier. Only the smooth part of that step is taken, since fine detail
    would smear. A surface that was not in view, a moving thing without a flow label, and a surface
    whose render or whose addition changed much (a lamp that turns green, a shadow that moved) give
    nothing to it. Chunks without a depth and a flow label stay the engine's, bit for bit.

    Attributes:
        engine: the wrapped engine. keep: 0 to below 1; 0 changes nothing.
    """

    def __init__(self, engine: Engine, *, keep: float = KEEP) -> None:
        """Wrap an engine and own it; ConfigError for a `keep` that is out of range."""
        if not 0 <= keep < 1:
            raise ConfigError(f"expected keep from 0 to below 1, got {keep}: {KEEP} is usual")
        super().__init__(engine)
        self.keep = keep
        self._pasts: dict[str, _Past] = {}
        self._earlier: dict[str, _Past | None] = {}  # before a camera's last chunk

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the realized chunk, steadied."""
        return self._next(self.engine.realize(chunk))

    def realize_together(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Return the realized chunks of several cameras, steadied."""
        return tuple(map(self._next, realized_together(self.engine, chunks)))

    def realize_again(self, chunk: Chunk, seed: int) -> Chunk:
        """Return the chunk realized from another seed, steadied by the same past."""
        again = realized_again(self.engine, chunk, seed)
        return self._steadied(again, self._earlier.get(chunk.camera))

    def reset(self) -> None:
        """Forget all earlier chunks."""
        super().reset()
        self._pasts.clear()
        self._earlier.clear()

    def _next(self, chunk: Chunk) -> Chunk:
        past = self._pasts.get(chunk.camera)
        self._earlier[chunk.camera] = past
        return self._steadied(chunk, past)

    def _steadied(self, chunk: Chunk, past: _Past | None) -> Chunk:
        rendered = chunk.rendered
        if rendered is None or not {"depth", "flow"} & chunk.labels.keys() or not self.keep:
            self._pasts.pop(chunk.camera, None)
            return chunk
        if chunk.dropped_before or (past and past.rendered.shape != rendered.shape[1:]):
            past = None
        frames = np.empty_like(chunk.frames)
        for row in range(len(chunk)):
            view = View.of(chunk.frame(row))
            added = cv2.subtract(chunk.frames[row], rendered[row], dtype=cv2.CV_32F)
            if past is not None:
                added = self._averaged(added, rendered[row], view, past)
            frames[row] = cv2.add(rendered[row], added, dtype=cv2.CV_8U)  # rounds and saturates
            past = _Past(added=added, rendered=rendered[row], view=view)
        if past is not None:
            self._pasts[chunk.camera] = past
        return replace(chunk, frames=frames)

    def _averaged(
        self,
        added: NDArray[np.float32],  # (H, W, 3)
        rendered: NDArray[np.uint8],  # (H, W, 3)
        view: View,
        past: _Past,
    ) -> NDArray[np.float32]:
        places = places_before(view, past.view)
        if places is None:
            return added
        render_change = cv2.absdiff(warp(past.rendered, places), rendered)
        back: NDArray[np.float32] = warp(past.added, places)
        back -= added  # leads to what was added before
        same = places.in_view & (_largest(render_change) <= MAX_CHANGE)
        same &= _largest(np.abs(back)) <= MAX_STEP
        back[~same] = 0
        side = max(3, rendered.shape[1] // BLUR_SHARE | 1)
        smooth = cv2.blur(cv2.blur(back, (side, side)), (side, side))  # nearly a Gaussian
        return np.asarray(added + np.float32(self.keep) * smooth, np.float32)


def _largest(channels: NDArray[Any]) -> NDArray[Any]:  # (H, W, 3) -> (H, W)
    red, green, blue = cv2.split(channels)
    return np.asarray(cv2.max(cv2.max(red, green), blue))


def steadied(engine: PromptedEngine, keep: float | None = None) -> PromptedEngine:
    """Return an engine inside a SteadyEngine; as it is where nothing is to be kept.

    Without `keep` that is KEEP of the embedded model, and nothing of others.
    """
    if keep is None:
        keep = KEEP if getattr(innermost(engine), "name", "") == EMBEDDED else 0.0
    return SteadyEngine(engine, keep=keep) if keep else engine
