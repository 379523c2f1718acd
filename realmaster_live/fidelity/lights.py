"""Scores whether a traffic light keeps its colour, read from the pixels of its mask.

Legend: N pixels of a mask, C colours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

STATES = ("red", "yellow", "green")
FAINTEST = 20.0  # levels of its own colour from which a pixel glows
ENOUGH = 0.25  # of the render's glow
FEWEST_PX = 4.0  # glowing pixels that the render needs for its colour to be read


def glowing(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:  # (..., 3) -> (...)
    """Return which pixels glow in a colour of STATES."""
    return np.asarray(own_colours(picture).max(0) >= FAINTEST, np.bool_)


def own_colours(picture: NDArray[Any]) -> NDArray[np.float32]:  # (..., 3) -> (C, ...)
    """Return by how many levels each pixel is red, yellow and green rather than another colour."""
    red, green, blue = np.moveaxis(picture.astype(np.float32), -1, 0)
    own = [red - np.maximum(green, blue), np.minimum(red, green) - blue, green - red]
    return np.stack(own)


def glows(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:  # (N, 3) -> (C,)
    """Return how much of a mask glows in each colour of STATES: levels, summed over pixels.

    A pixel glows in the one colour that it has most of.
    """
    own = own_colours(pixels)
    own = np.where(own == own.max(0), own, 0.0)
    return np.asarray(np.where(own >= FAINTEST, own, 0.0).sum(1), np.float32)


def read_state(pixels: NDArray[np.uint8]) -> str:  # (N, 3)
    """Return the colour that a light's mask shows, or "" if none glows."""
    found = glows(pixels)
    return STATES[int(found.argmax())] if found.any() else ""


def light_score(
    rendered: NDArray[np.uint8],  # (N, 3), of the mask
    realized: NDArray[np.uint8],  # (N, 3)
    state: str,
) -> float:
    """Return 1 where the realized mask shows the state, 0 where it shows another or none.

    A light that glows a quarter as much as in the render is as good; a colour that the render's
    mask has too, such as a yellow housing's, does not count against it. NaN where the render is
    too small to show the state.
    """
    if state not in STATES:
        return float("nan")
    drawn, found = glows(rendered), glows(realized)
    place = STATES.index(state)
    if drawn[place] < FEWEST_PX * 2 * FAINTEST or drawn.argmax() != place:
        return float("nan")
    other = float(np.delete(found - drawn, place).max(initial=0.0))
    own = float(found[place])
    if not own:
        return 0.0
    bright = min(1.0, own / (ENOUGH * float(drawn[place])))
    return bright * own / (own + max(other, 0.0))
