"""One picture with everything that a page shows at a tick, so that nothing in it can diverge.

A row for each camera; its columns are what the simulator drew, what was realized and, if one is
watched, a layer of labels. All cells are of one size. A page may ask for a strip of squares below
them, from which it reads the tick's number also after a video codec.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.optional import require
from realmaster_live.sinks.viewer.layers import LAYERS, draw_layer
from realmaster_live.sinks.viewer.shots import Shot, TickShots

cv2 = require("cv2", extra="live")

Picture = NDArray[np.uint8]  # (H, W, 3) sRGB

MOST_PIXELS = 1_600_000  # of a whole mosaic; larger ones are scaled down
MOST_CAMERAS = 16
STRIP_PX = 8  # a square's side
STRIP_BITS = 32  # eight of the watch's stamp, twenty of the number, four to check them by
NUMBERS = 1 << 20  # after so many ticks the strip begins anew
DARK, LIGHT = 16, 235


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What one page looks at.

    Attributes:
        cameras: their names; empty for the first one.
        layer: a name of LAYERS, or "".
        strip: whether the tick's number is drawn below the pictures.
        full: whether large pictures keep their size.
    """

    cameras: tuple[str, ...] = ()
    layer: str = ""
    strip: bool = False
    full: bool = False

    def __post_init__(self) -> None:
        """Check the values, once; raises ConfigError."""
        if len(self.cameras) > MOST_CAMERAS:
            raise ConfigError(
                f"expected {MOST_CAMERAS} cameras at most, got {len(self.cameras)}: choose some"
            )
        if self.layer and self.layer not in LAYERS:
            raise ConfigError(
                f"expected a layer out of {', '.join(LAYERS)}, got {self.layer!r}: choose one"
            )

    @classmethod
    def of(cls, values: Any) -> Watch:
        """Return what a JSON object says; ConfigError for what does not fit."""
        if not isinstance(values, Mapping):
            raise ConfigError(f"expected an object of cameras and a layer, got {values!r}")
        cameras, layer = values.get("cameras", []), values.get("layer", "")
        is_list = isinstance(cameras, list) and all(isinstance(name, str) for name in cameras)
        if not is_list or not isinstance(layer, str):
            raise ConfigError(
                f"expected a list of cameras and a layer, got {cameras!r} and {layer!r}: give names"
            )
        return cls(cameras=tuple(cameras), layer=layer, strip=bool(values.get("strip")))

    @property
    def stamp(self) -> int:
        """A byte that tells this watch from a page's other ones; the page computes the same."""
        text = "\n".join((*self.cameras, self.layer)).encode()
        return sum((place + 1) * byte for place, byte in enumerate(text)) % 256

    def shots(self, tick: TickShots) -> list[Shot | None]:
        """Return the shots that are watched, None for a camera that is not there."""
        names = self.cameras or tuple(tick)[:1]
        return [tick.get(name) for name in names]


def compose(tick: TickShots, watch: Watch, number: int) -> Picture:
    """Return the mosaic of a tick, (rows * h, columns * w, 3), with or without its strip."""
    shots = watch.shots(tick)
    width, height = _cell(shots, watch)
    columns = 2 + bool(watch.layer)
    rows = max(1, len(shots))
    strip = STRIP_PX if watch.strip else 0
    mosaic = np.zeros((rows * height + strip, columns * width, 3), np.uint8)
    for row, shot in enumerate(shots):
        if shot is None:
            continue
        line = mosaic[row * height : (row + 1) * height]
        pictures = [shot.rendered, shot.realized]
        layer = draw_layer(shot, watch.layer) if watch.layer else None
        for column, picture in enumerate(pictures if layer is None else [*pictures, layer]):
            cell = line[:, column * width : (column + 1) * width]
            _fill(cell, picture, is_label=column == 2)
    if strip:
        _draw_strip(mosaic[-strip:], watch.stamp, number)
    return mosaic


def _cell(shots: Sequence[Shot | None], watch: Watch) -> tuple[int, int]:
    """Return the width and height of all cells: even, and wide enough for the strip."""
    sizes = [shot.size for shot in shots if shot is not None] or [(STRIP_BITS * STRIP_PX // 2, 96)]
    width, height = (max(side) for side in zip(*sizes, strict=True))
    pixels = width * height * (2 + bool(watch.layer)) * max(1, len(shots))
    least = STRIP_BITS * STRIP_PX // 2 if watch.strip else 2
    share = 1.0 if watch.full else min(1.0, math.sqrt(MOST_PIXELS / pixels))
    scaled = max(least, width * share)
    return _even(scaled), _even(height * scaled / width)


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)


def _fill(cell: Picture, picture: Picture, *, is_label: bool) -> None:
    height, width = cell.shape[:2]
    if picture.shape[:2] != (height, width):
        shrinks = picture.shape[1] > width
        smooth = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        interpolation = cv2.INTER_NEAREST if is_label else smooth
        picture = cv2.resize(picture, (width, height), interpolation=interpolation)
    cell[:] = picture


def _draw_strip(strip: Picture, stamp: int, number: int) -> None:
    value = stamp << 20 | number % NUMBERS
    digits = sum(value >> shift & 15 for shift in range(0, 28, 4))
    value = value << 4 | (digits + 10) % 16
    bits = np.array([value >> place & 1 for place in reversed(range(STRIP_BITS))], bool)
    squares = np.repeat(np.where(bits, LIGHT, DARK).astype(np.uint8), STRIP_PX)
    strip[:, : len(squares)] = squares[:, None]
