"""An engine wrapper that keeps the colours of traffic lights, signs and lane markings.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.lights import glowing
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.live.wrapper import EngineWrapper, innermost, retrying
from realmaster_live.protocols import Engine

LOCKED = ("traffic_light", "traffic_sign", "road_line")
COARSE = 4  # brightness is compared on a grid of every fourth pixel
# sides of the squares whose mean a place of the grid is compared with, and what each counts: what
# is nearest, or, inside wide marks, what is farther off
SQUARES = {3: 1.0, 9: 0.1, 27: 0.01}
MARGIN_PX = 56  # half of the largest
FAINT = 1e-3  # levels; where nothing is near, nothing became brighter
RELATIVE = 0.3  # share by which brightness against the surroundings may differ from the render's
# side of the square and levels: fine grain, and soft borders, that may stay as they were realized
GRAIN_PX, MOST_GRAIN = 5, 16.0


class SafetyLock(EngineWrapper):
    """Gives the pixels of some classes the render's colours instead of the engine's.

    Hue, chroma and the order of brightness are the render's; overall brightness follows the
    realized surroundings, and fine grain is kept. All other pixels are the engine's, bit for bit.

    Attributes:
        engine: the one that realizes.
        classes: names of the classes that are locked.
    """

    def __init__(self, engine: Engine, *, classes: Collection[str] = LOCKED) -> None:
        """Wrap an engine and own it; ConfigError for a class that CARLA does not have."""
        unknown = [name for name in classes if name not in CLASS_IDS]
        if unknown or not classes:
            raise ConfigError(
                f"expected classes among {', '.join(CLASS_IDS)}, got "
                f"{', '.join(unknown) or 'none'}: the lock is meant for {', '.join(LOCKED)}"
            )
        super().__init__(engine)
        self.classes = tuple(classes)
        self._numbers = [CLASS_IDS[name] for name in classes]

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the realized chunk, locked; ConfigError without labels that name classes."""
        self._check(chunk)
        return self.lock(self.engine.realize(chunk))

    def realize_again(self, chunk: Chunk, seed: int) -> Chunk:
        """Return the chunk realized from another seed, locked."""
        engine = retrying(self.engine)
        if engine is None:
            raise ConfigError(
                "expected an engine that can realize a chunk again, got "
                f"{type(innermost(self.engine)).__name__}: leave 'retry' out"
            )
        return self.lock(engine.realize_again(chunk, seed))

    def _check(self, chunk: Chunk) -> None:
        if not {"semantic", "instance"} & chunk.labels.keys():
            raise ConfigError(
                "expected the label semantic or instance for the safety lock, got "
                f"{', '.join(chunk.labels) or 'none'}: capture it with --labels semantic"
            )

    def lock(self, chunk: Chunk) -> Chunk:
        """Return a realized chunk, locked."""
        rendered = chunk.frames if chunk.rendered is None else chunk.rendered
        frames = chunk.frames.copy()
        semantic = chunk.labels.get("semantic")
        if semantic is None:
            semantic = np.right_shift(np.asarray(chunk.labels["instance"], np.int32), 16)
        for index, (render, frame) in enumerate(zip(rendered, chunk.frames, strict=True)):
            mask = np.isin(semantic[index], self._numbers)
            lamps = mask & (semantic[index] == CLASS_IDS["traffic_light"])
            frames[index] = lock_colours(render, frame, mask, lamps)
        return replace(chunk, frames=frames)


def lock_colours(
    rendered: NDArray[np.uint8],  # (H, W, 3)
    realized: NDArray[np.uint8],  # (H, W, 3)
    mask: NDArray[np.bool_],  # (H, W), what is locked
    lamps: NDArray[np.bool_],  # (H, W), the part of it that may shine by itself
) -> NDArray[np.uint8]:
    """Return the realized picture with the render's colours inside the mask.

    A locked pixel is the render's times one gain, plus a little grey that gives it the realized
    picture's fine grain: neither changes a hue. The gain is the change of brightness of the mask
    nearby, limited by that of its surroundings, so that nothing stands out less, or more, than in
    the render. Pixels of lamps that glow stay as rendered.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return realized
    part = (
        slice(max(int(rows.min()) - MARGIN_PX, 0), int(rows.max()) + MARGIN_PX + 1),
        slice(max(int(columns.min()) - MARGIN_PX, 0), int(columns.max()) + MARGIN_PX + 1),
    )
    inner = mask[part]
    drawn, found = (
        np.asarray(cv2.cvtColor(each[part], cv2.COLOR_RGB2GRAY), np.float32)
        for each in (rendered, realized)
    )
    became = [gains(drawn, found, where) for where in (inner, ~inner)]
    gain = np.clip(became[0], (1 - RELATIVE) * became[1], (1 + RELATIVE) * became[1])
    gain = np.asarray(cv2.resize(gain, inner.shape[::-1]), np.float32)
    counted = inner.astype(np.float32)
    off = (found - gain * drawn) * counted
    square = GRAIN_PX, GRAIN_PX
    grain = off - cv2.blur(off, square) / np.maximum(cv2.blur(counted, square), 1e-6)
    rows, columns = np.nonzero(inner)
    own = rendered[part][rows, columns]
    grey = np.clip(grain[rows, columns], -MOST_GRAIN, MOST_GRAIN)
    locked = own * gain[rows, columns, None] + grey[:, None]
    shining = lamps[part][rows, columns] & glowing(own)
    locked = np.where(shining[:, None], own, np.clip(locked + 0.5, 0, 255))
    answer = realized.copy()
    answer[part][rows, columns] = locked.astype(np.uint8)
    return answer


def gains(
    drawn: NDArray[np.float32],  # (H, W) brightness
    found: NDArray[np.float32],  # (H, W)
    where: NDArray[np.bool_],  # (H, W)
) -> NDArray[np.float32]:
    """Return the local gain of brightness of the pixels of a mask, on the coarse grid."""
    size = tuple(max(1, side // COARSE) for side in where.shape[::-1])
    counted = where.astype(np.float32)
    near = []
    for brightness in (drawn, found):
        coarse = cv2.resize(brightness * counted, size, interpolation=cv2.INTER_AREA)
        near.append(sum(w * cv2.blur(coarse, (side, side)) for side, w in SQUARES.items()))
    return np.asarray((near[1] + FAINT) / (near[0] + FAINT), np.float32)
