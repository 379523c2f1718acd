"""Scores whether a traffic light keeps its colour, read from the pixels of its mask.

Legend: N pixels of a mask, C colours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

STATES = ("red", "yellow", "green")
MIN_GLOW = 20.0  # colour excess in levels from which a pixel glows
ENOUGH_GLOW = 0.25  # share of the render's glow that gets the full score
MIN_GLOWING_PIXELS = 4.0  # with fewer glowing pixels in the render, the state cannot be read


def glowing_pixels(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:  # (..., 3) -> (...)
    """Return which pixels glow in a colour of STATES."""
    return np.asarray(colour_excesses(picture).max(0) >= MIN_GLOW, np.bool_)


def colour_excesses(picture: NDArray[Any]) -> NDArray[np.float32]:  # (..., 3) -> (C, ...)
    """Return by how many levels each pixel is red, yellow and green above all other colours."""
    red, green, blue = np.moveaxis(picture.astype(np.float32), -1, 0)
    own = [red - np.maximum(green, blue), np.minimum(red, green) - blue, green - red]
    return np.stack(own)


def glow_by_colour(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:  # (N, 3) -> (C,)
    """Return how strongly a mask glows in each colour of STATES, in levels summed over pixels.

    A pixel counts for its strongest colour only.
    """
    own = colour_excesses(pixels)
    own = np.where(own == own.max(0), own, 0.0)
    return np.asarray(np.where(own >= MIN_GLOW, own, 0.0).sum(1), np.float32)


def read_state(pixels: NDArray[np.uint8]) -> str:  # (N, 3)
    """Return the state that a light's mask shows, or "" if nothing glows."""
    glow = glow_by_colour(pixels)
    return STATES[int(glow.argmax())] if glow.any() else ""


def light_score(
    rendered: NDArray[np.uint8],  # (N, 3), of the mask
    realized: NDArray[np.uint8],  # (N, 3)
    state: str,
) -> float:
    """Return 1 if the realized mask shows the state, 0 if it shows another one or none.

    A quarter of the render's glow is enough for 1. A colour that the render's mask has too, such as
    that of a yellow housing, does not count against the light. The score is NaN if the light is too
    small in the render to show its state.
    """
    if state not in STATES:
        return float("nan")
    rendered_glow, realized_glow = glow_by_colour(rendered), glow_by_colour(realized)
    index = STATES.index(state)
    if rendered_glow[index] < MIN_GLOWING_PIXELS * 2 * MIN_GLOW or rendered_glow.argmax() != index:
        return float("nan")
    other = float(np.delete(realized_glow - rendered_glow, index).max(initial=0.0))
    own = float(realized_glow[index])
    if not own:
        return 0.0
    brightness = min(1.0, own / (ENOUGH_GLOW * float(rendered_glow[index])))
    return brightness * own / (own + max(other, 0.0))
