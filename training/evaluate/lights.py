"""Checks whether traffic lights keep their state, by the colours of their lamps' pixels.

A light is an entry of a clip's `lights`, as the pairs' generator lists them for every frame: its
`state`, the share of the lit lamp that is `visible`, and the box of each lamp (left, top, right,
bottom in pixels).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.lights import MIN_GLOW, STATES, colour_excesses

MIN_LAMP_PX, MIN_VISIBLE = 3.0, 0.5  # size and visible share below which a lamp cannot be read


def is_readable(light: Mapping[str, Any]) -> bool:
    """Return whether a light is large and unoccluded enough to be read."""
    left, top, right, bottom = light["lamps"][light["state"]]
    return bool(min(right - left, bottom - top) >= MIN_LAMP_PX and light["visible"] >= MIN_VISIBLE)


def lamp_pixels(frame: NDArray[np.uint8], box: Sequence[float]) -> NDArray[np.float32]:
    """Return the pixels (N, 3) inside the ellipse of a box; N is 0 outside the picture."""
    left, top, right, bottom = box
    x0, y0 = max(int(left), 0), max(int(top), 0)
    part = frame[y0 : max(int(bottom) + 1, 0), x0 : max(int(right) + 1, 0)].astype(np.float32)
    y, x = np.indices(part.shape[:2])
    across = (x + x0 + 0.5 - (left + right) / 2) / max((right - left) / 2, 0.5)
    down = (y + y0 + 0.5 - (top + bottom) / 2) / max((bottom - top) / 2, 0.5)
    inside: NDArray[np.float32] = part[across**2 + down**2 <= 1.0]
    return inside


def colour_excess(pixels: NDArray[np.float32], state: str) -> float:
    """Return by how many levels a lamp's pixels (N, 3) show a colour: red, yellow or green."""
    if not len(pixels):
        return 0.0
    return float(colour_excesses(pixels.mean(0))[STATES.index(state)])


def read_state(frame: NDArray[np.uint8], light: Mapping[str, Any]) -> str:
    """Return the state whose lamp shows its colour most strongly, or "none"."""
    found = {
        state: colour_excess(lamp_pixels(frame, light["lamps"][state]), state) for state in STATES
    }
    state = max(found, key=lambda name: found[name])
    return state if found[state] >= MIN_GLOW else "none"


def close_up(frame: NDArray[np.uint8], light: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return a light's surroundings (240, 160, 3), enlarged without smoothing."""
    boxes = np.array(list(light["lamps"].values()))
    margin = (boxes[0, 3] - boxes[0, 1]) * 1.5
    height, width, _ = frame.shape
    left, top = np.clip(boxes[:, :2].min(0) - margin, 0, (width - 8, height - 8)).astype(int)
    right, bottom = np.ceil(boxes[:, 2:].max(0) + margin).astype(int)
    part = frame[top : max(bottom, top + 8), left : max(right, left + 8)]
    return np.asarray(cv2.resize(part, (160, 240), interpolation=cv2.INTER_NEAREST), np.uint8)


class LightCount:
    """Counts how often lights that are readable in the truth are read correctly."""

    def __init__(self) -> None:
        self.listed = self.readable = 0
        self.right: Counter[str] = Counter()
        self.by_state: dict[str, Counter[str]] = {state: Counter() for state in STATES}

    def add(
        self,
        pictures: Mapping[str, NDArray[np.uint8]],
        lights: Sequence[Sequence[Mapping[str, Any]]],
    ) -> None:
        """Count the lights of the frames (T, H, W, 3) of render, realized and truth."""
        for index in range(len(pictures["truth"])):
            self.listed += len(lights[index])
            for light in filter(is_readable, lights[index]):
                self.readable += 1
                state = light["state"]
                read = {name: read_state(frames[index], light) for name, frames in pictures.items()}
                self.right.update(name for name in read if read[name] == state)
                if read["truth"] == state:
                    self.by_state[state][read["realized"]] += 1

    def figures(self) -> dict[str, Any]:
        """Return counts and shares; `kept` is relative to lights read correctly in the truth."""
        judged = sum(sum(reads.values()) for reads in self.by_state.values())
        kept = sum(self.by_state[state][state] for state in STATES)
        return {
            "listed": self.listed,
            "readable": self.readable,
            "judged": judged,
            "kept": kept / judged if judged else None,
            "render_right": self.right["render"] / self.readable if self.readable else None,
            "truth_right": self.right["truth"] / self.readable if self.readable else None,
            "read_as": {state: dict(reads) for state, reads in self.by_state.items() if reads},
        }
