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
from realmaster_live.fidelity.lights import glowing_pixels
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.live.wrapper import (
    EngineWrapper,
    realized_again,
    realized_together,
)
from realmaster_live.protocols import Engine

LOCKED = ("traffic_light", "traffic_sign", "road_line")
GRID_STEP = 4  # brightness is compared on every fourth pixel
# side of a square of grid points -> weight of its mean; the larger ones reach out of wide marks
SQUARES = {3: 1.0, 9: 0.1, 27: 0.01}
MARGIN_PX = 56  # half of the largest square
EPSILON = 1e-3  # levels; keeps the gain at 1 where nothing is near
MAX_CONTRAST_CHANGE = 0.3  # largest relative change of contrast to the surroundings
GRAIN_PX, MAX_GRAIN = 5, 16.0  # size in pixels and levels of the realized grain that is kept


class SafetyLock(EngineWrapper):
    """Gives the pixels of some classes the render's colours instead of the engine's.

    Hue, chroma and the order of brightness are the render's. Overall brightness follows the
    realized surroundings, and fine grain is kept. All other pixels are the engine's, bit for bit.

    Attributes:
        engine: the wrapped engine.
        classes: names of the locked classes.
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
        """Return the realized chunk with locked colours; ConfigError without class labels."""
        self._check(chunk)
        return self.lock(self.engine.realize(chunk))

    def realize_together(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Return the realized chunks of several cameras with locked colours."""
        for chunk in chunks:
            self._check(chunk)
        return tuple(map(self.lock, realized_together(self.engine, chunks)))

    def realize_again(self, chunk: Chunk, seed: int) -> Chunk:
        """Return the chunk realized from another seed, with locked colours."""
        return self.lock(realized_again(self.engine, chunk, seed))

    def _check(self, chunk: Chunk) -> None:
        if not {"semantic", "instance"} & chunk.labels.keys():
            raise ConfigError(
                "expected the label semantic or instance for the safety lock, got "
                f"{', '.join(chunk.labels) or 'none'}: capture it with --labels semantic"
            )

    def lock(self, chunk: Chunk) -> Chunk:
        """Return a realized chunk with locked colours."""
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
    mask: NDArray[np.bool_],  # (H, W), the locked pixels
    lamps: NDArray[np.bool_],  # (H, W), the locked pixels of traffic lights
) -> NDArray[np.uint8]:
    """Return the realized picture with the render's colours inside the mask.

    A locked pixel is the render's pixel times a gain, plus some grey for the realized picture's
    fine grain; neither changes the hue. The gain is the local change of the mask's brightness. It
    is limited by the change of the surroundings, so that nothing stands out much less or more than
    in the render. Glowing pixels of lamps stay as rendered.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return realized
    part = (
        slice(max(int(rows.min()) - MARGIN_PX, 0), int(rows.max()) + MARGIN_PX + 1),
        slice(max(int(columns.min()) - MARGIN_PX, 0), int(columns.max()) + MARGIN_PX + 1),
    )
    inner = mask[part]
    rendered_grey, realized_grey = (
        np.asarray(cv2.cvtColor(each[part], cv2.COLOR_RGB2GRAY), np.float32)
        for each in (rendered, realized)
    )
    own_gain, outer_gain = (gains(rendered_grey, realized_grey, part) for part in (inner, ~inner))
    low, high = (1 - MAX_CONTRAST_CHANGE) * outer_gain, (1 + MAX_CONTRAST_CHANGE) * outer_gain
    gain = np.clip(own_gain, low, high)
    gain = np.asarray(cv2.resize(gain, inner.shape[::-1]), np.float32)
    weights = inner.astype(np.float32)
    residual = (realized_grey - gain * rendered_grey) * weights
    square = GRAIN_PX, GRAIN_PX
    grain = residual - cv2.blur(residual, square) / np.maximum(cv2.blur(weights, square), 1e-6)
    rows, columns = np.nonzero(inner)
    own = rendered[part][rows, columns]
    grey = np.clip(grain[rows, columns], -MAX_GRAIN, MAX_GRAIN)
    locked = own * gain[rows, columns, None] + grey[:, None]
    lit = lamps[part][rows, columns] & glowing_pixels(own)
    locked = np.where(lit[:, None], own, np.clip(locked + 0.5, 0, 255))
    result = realized.copy()
    result[part][rows, columns] = locked.astype(np.uint8)
    return result


def gains(
    rendered_grey: NDArray[np.float32],  # (H, W) brightness
    realized_grey: NDArray[np.float32],  # (H, W)
    where: NDArray[np.bool_],  # (H, W)
) -> NDArray[np.float32]:
    """Return the local gain in brightness of a mask's pixels, on the coarse grid."""
    size = tuple(max(1, side // GRID_STEP) for side in where.shape[::-1])
    weights = where.astype(np.float32)
    means = []
    for brightness in (rendered_grey, realized_grey):
        coarse = cv2.resize(brightness * weights, size, interpolation=cv2.INTER_AREA)
        means.append(sum(w * cv2.blur(coarse, (side, side)) for side, w in SQUARES.items()))
    return np.asarray((means[1] + EPSILON) / (means[0] + EPSILON), np.float32)
