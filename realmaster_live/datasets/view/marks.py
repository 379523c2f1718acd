"""What a page draws over a recorded picture: boxes, edges of boxes in space, lane lines.

All are JSON values, and places are shares of the picture's width and height.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.lane_sight import SeenLine, seen_lines
from realmaster_live.datasets.road_map import RoadMap
from realmaster_live.frames.geometry import box_corners
from realmaster_live.recording.sample import Sample
from realmaster_live.sinks.viewer.layers import boxes_in, colour_of, visible_in

Mark = dict[str, Any]
Floats = NDArray[np.float64]
NEAR_M = 0.2  # an edge is cut where it comes nearer to the camera
FAR_SHARES = 3.0  # pictures' sizes beyond the edge, where lines end
# of corners whose numbers differ in one bit
EDGES = [(one, one | bit) for bit in (1, 2, 4) for one in range(8) if not one & bit]
PAINT = {"yellow": "#ffd24a", "white": "#f4f6f8", "blue": "#6ea8ff", "red": "#ff5a52",
         "green": "#4fdc7c"}  # fmt: skip
OTHER_PAINT = "#c58bff"


def boxes(sample: Sample, size: tuple[int, int]) -> list[Mark]:
    """Return the boxes of what is seen, with the trust in each thing that was judged."""
    trust = {} if sample.trust is None else {
        one.mask_id: one.score for one in sample.trust.instances
    }  # fmt: skip
    found = []
    for one in visible_in(sample.annotations):
        for box in boxes_in([one], size):
            score = trust.get(one.mask_id)
            judged = {} if score is None or not np.isfinite(score) else {
                "text": f"{box['text']} · trust {score:.2f}"
            }  # fmt: skip
            found.append({**box, **judged})
    return found


def boxes_in_space(sample: Sample, size: tuple[int, int]) -> list[Mark]:
    """Return the twelve edges of every listed thing's box as lines; a pinhole is assumed."""
    found: list[Mark] = []
    frame = sample.frame
    for one in visible_in(sample.annotations):
        if one.thing is None:
            continue
        corners = box_corners(one.thing.size, one.thing.object_to_world)
        corners = (corners - frame.cam_to_world[:3, 3]) @ frame.cam_to_world[:3, :3]
        colour = colour_of(one)
        for begin, end in EDGES:
            line = _edge(corners[begin], corners[end], frame.intrinsics, size)
            if line is not None:
                is_front = bool(begin & 4 and end & 4)  # where the thing looks
                found.append({"line": line, "colour": colour, "bold": is_front})
    return found


def lanes(sample: Sample, road_map: RoadMap, size: tuple[int, int]) -> list[Mark]:
    """Return the lane lines that nothing hides; `sample` needs its depth."""
    return [
        {
            "line": _shares(line.pixels[begin:end], size),
            "colour": PAINT.get(line.line.colour, OTHER_PAINT),
            "bold": abs(line.side) == 1,
        }
        for line in seen_lines(road_map, sample)
        for begin, end in _visible_stretches(line)
    ]


def _visible_stretches(line: SeenLine) -> Iterator[tuple[int, int]]:
    borders = np.flatnonzero(np.diff(line.visible.astype(np.int8), prepend=0, append=0)).tolist()
    for begin, end in zip(borders[::2], borders[1::2], strict=True):
        if end - begin > 1:
            yield begin, end


def _edge(
    one: Floats, two: Floats, intrinsics: Floats, size: tuple[int, int]
) -> list[list[float]] | None:
    """Return an edge between two points (3,) in camera axes; None where it is behind."""
    if max(one[2], two[2]) <= NEAR_M:
        return None
    ends = []
    for here, there in ((one, two), (two, one)):
        if here[2] < NEAR_M:
            here = here + (there - here) * (NEAR_M - here[2]) / (there[2] - here[2])
        ends.append(here)
    projected = np.array(ends) @ intrinsics.T
    shares = np.array(_shares(projected[:, :2] / projected[:, 2:], size))
    beyond = (shares < -FAR_SHARES).all(axis=0) | (shares > 1 + FAR_SHARES).all(axis=0)
    return None if beyond.any() else shares.tolist()


def _shares(pixels: Floats, size: tuple[int, int]) -> list[list[float]]:
    shares: list[list[float]] = (pixels / np.array(size)).round(4).tolist()
    return shares
