"""Captions on pictures and labels as colours: for people to look at, never a model's input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.optional import require

cv2 = require("cv2", extra="live")

Picture = NDArray[np.uint8]  # (H, W, 3) sRGB
INK = (28, 32, 38)
NEAR_M = 2.0  # where the depth colours begin; they end at the far plane, in equal ratios
FAR_M = 250.0
FAST_PX = 24.0  # a frame: the motion with the lightest colour
NOTHING = (24, 26, 30)  # where a label has no value
_BASE_PX = 22.0  # height of OpenCV's font at scale 1


def write_text(
    picture: Picture,
    text: str,
    at: tuple[int, int],
    *,
    size_px: float,
    color: tuple[int, int, int] = INK,
) -> None:
    """Draw `text` into `picture` with its baseline beginning at `at`, (x, y)."""
    scale = size_px / _BASE_PX
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)


def text_width(text: str, size_px: float) -> int:
    """Return how many pixels `write_text` needs across."""
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size_px / _BASE_PX, 1)
    return int(width)


def tag(picture: Picture, text: str, *, size_px: float = 13.0) -> None:
    """Write `text` on a dark plate into the upper left corner of `picture`."""
    margin = round(size_px * 0.6)
    width = text_width(text, size_px) + 2 * margin
    height = round(size_px * 1.9)
    plate = picture[margin : margin + height, margin : margin + width]
    plate[:] = (plate * 0.35).astype(np.uint8)
    base = margin + round(height * 0.5 + size_px * 0.36)
    write_text(picture, text, (2 * margin, base), size_px=size_px, color=(255, 255, 255))


def depth_colors(depth: NDArray[np.float32]) -> Picture:
    """Return (H, W) metres as colours: near is bright, each doubling a step darker."""
    metres = np.clip(depth, NEAR_M, FAR_M)
    nearness = 1.0 - np.log(metres / NEAR_M) / np.log(FAR_M / NEAR_M)
    return _mapped(nearness, cv2.COLORMAP_MAGMA)


def instance_colors(instance: NDArray[np.int32]) -> Picture:
    """Return (H, W) ids as colours that differ between neighbours; no object is dark."""
    hue = (instance.astype(np.int64) * 2654435761 % 2**32) / 2**32
    colors = _mapped(hue, cv2.COLORMAP_HSV)
    colors[instance == 0] = NOTHING
    return colors


def flow_colors(flow: NDArray[np.float32]) -> Picture:
    """Return (H, W, 2) pixels of motion as colours: the hue is the direction, the light how far.

    What moves by FAST_PX or more is brightest.
    """
    across, down = (np.nan_to_num(flow[..., axis].astype(np.float64)) for axis in (0, 1))
    hue = np.degrees(np.arctan2(down, across)) % 360 / 2  # OpenCV's hues end at 180
    speed = np.sqrt(np.clip(np.hypot(across, down) / FAST_PX, 0.0, 1.0))
    whole = np.stack([hue, np.full_like(hue, 210.0), 255 * speed], axis=-1)
    colors: Picture = cv2.cvtColor(np.rint(whole).astype(np.uint8), cv2.COLOR_HSV2RGB)
    return colors


def trust_colors(trust: NDArray[np.float32]) -> Picture:
    """Return (H, W) scores as colours, from red for 0 over yellow to green for 1; NaN is dark."""
    score = np.clip(np.nan_to_num(trust.astype(np.float64)), 0.0, 1.0)
    red, green = np.clip(2 - 2 * score, 0, 1), np.clip(2 * score, 0, 1)
    colors = np.stack([60 + 180 * red, 50 + 160 * green, np.full_like(score, 60.0)], axis=-1)
    colors[np.isnan(trust)] = NOTHING
    return np.rint(colors).astype(np.uint8)


def _mapped(values: NDArray[Any], colormap: int) -> Picture:
    grey = np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)
    colors: Picture = np.ascontiguousarray(cv2.applyColorMap(grey, colormap)[..., ::-1])
    return colors


def png_bytes(picture: Picture) -> bytes:
    """Return `picture` as a PNG file."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return bytes(encoded)


def jpeg_bytes(picture: Picture, *, quality: int = 85) -> bytes:
    """Return `picture` as a JPEG file."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)  # a tenth of the time of picture[..., ::-1]
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(encoded)
