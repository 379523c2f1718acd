"""An engine around an engine that lets no traffic light, sign or lane mark change its colour.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.chunk import Chunk, ChunkSpec
from realmaster_live.classes import CLASS_IDS
from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.lights import glowing
from realmaster_live.fidelity.wrapped import innermost, retrying, set_prompt
from realmaster_live.protocols import Engine

LOCKED = ("traffic_light", "traffic_sign", "road_line")
AROUND_PX = 31  # side of the square whose brightness a locked pixel follows
DARKEST, BRIGHTEST = 0.6, 1.6  # times the render's own brightness
TEXTURE_PX, MOST_TEXTURE = 5, 10.0  # side of the square, levels: fine grain that may stay
EDGE_SHARE = 0.5  # of a border pixel that shows what is behind it


class SafetyLock:
    """Gives the pixels of some classes the render's own colours, whatever the engine made of them.

    Hue, chroma and the order of brightness are the render's; brightness as a whole follows the
    realized surroundings, and fine grain stays. All other pixels are the engine's, bit for bit.

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
        self.engine, self.classes = engine, tuple(classes)
        self._numbers = [CLASS_IDS[name] for name in classes]

    @property
    def spec(self) -> ChunkSpec:
        """The chunks the engine takes."""
        return self.engine.spec

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the engine's model is; empty where it says nothing."""
        return getattr(self.engine, "manifest", {})

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> None:
        """Ask the engine for a prompt from the next chunk on."""
        set_prompt(self.engine, prompt, fade_chunks)

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the realized chunk, locked; ConfigError without labels that name classes."""
        self._check(chunk)
        return self._locked(self.engine.realize(chunk))

    def realize_again(self, chunk: Chunk, seed: int) -> Chunk:
        """Return the chunk realized from another seed, locked."""
        engine = retrying(self.engine)
        if engine is None:
            raise ConfigError(
                "expected an engine that can realize a chunk again, got "
                f"{type(innermost(self.engine)).__name__}: leave 'retry' out"
            )
        return self._locked(engine.realize_again(chunk, seed))

    def reset(self) -> None:
        """Forget all earlier chunks."""
        self.engine.reset()

    def close(self) -> None:
        """Close the engine; may be called twice."""
        self.engine.close()

    def _check(self, chunk: Chunk) -> None:
        if not {"semantic", "instance"} & chunk.labels.keys():
            raise ConfigError(
                "expected the label semantic or instance for the safety lock, got "
                f"{', '.join(chunk.labels) or 'none'}: capture it with --labels semantic"
            )

    def _locked(self, chunk: Chunk) -> Chunk:
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

    A locked pixel is the render's, times how much brighter its surroundings became, plus the
    realized fine grain as grey: neither changes a hue. On the mask's border, where the render
    shows half of what is behind, half of that one's change in brightness is added, or a rim of
    the render's background would remain. Pixels of lamps that glow stay as they are rendered.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return realized
    part = (
        slice(max(int(rows.min()) - AROUND_PX, 0), int(rows.max()) + AROUND_PX + 1),
        slice(max(int(columns.min()) - AROUND_PX, 0), int(columns.max()) + AROUND_PX + 1),
    )
    inner = mask[part]
    drawn, found = rendered[part].astype(np.float32), realized[part]
    bright = [_brightness(picture[part]) for picture in (rendered, realized)]
    outside = (~inner).astype(np.float32)
    wide, close = (_beside(bright, outside, size) for size in (AROUND_PX, 3))
    gain = np.clip((wide[1] + 1) / (wide[0] + 1), DARKEST, BRIGHTEST)
    grain = bright[1] - cv2.blur(bright[1], (TEXTURE_PX, TEXTURE_PX))
    grey = np.clip(grain, -MOST_TEXTURE, MOST_TEXTURE)
    border = cv2.erode(inner.view(np.uint8), np.ones((3, 3), np.uint8)) == 0
    grey = grey + np.where(border, EDGE_SHARE * (close[1] - gain * close[0]), 0)
    locked = drawn * gain[..., None] + grey[..., None]
    shining = lamps[part] & glowing(rendered[part])
    locked = np.where(shining[..., None], drawn, locked)
    answer = realized.copy()
    answer[part] = np.where(inner[..., None], np.clip(locked + 0.5, 0, 255).astype(np.uint8), found)
    return answer


def _brightness(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)


def _beside(
    pictures: list[NDArray[np.float32]], outside: NDArray[np.float32], size: int
) -> list[NDArray[np.float32]]:
    """Return each picture's mean over a square's pixels that are outside; 0 where none is."""
    window = (size, size)
    share = np.maximum(cv2.blur(outside, window), 1e-6)
    return [np.asarray(cv2.blur(each * outside, window) / share, np.float32) for each in pictures]
