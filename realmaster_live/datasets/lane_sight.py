"""Lane lines as a camera sees them: points in its axes and in its picture, and what hides them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.road_map import LaneLine, RoadMap
from realmaster_live.recording.sample import Sample

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

NEAR_M, FAR_M = 1.0, 100.0  # along the optical axis
SLACK_M, SLACK = (
    0.3,
    0.02,
)  # by which a line may lie behind the depth of its pixel: metres and share
MIN_VISIBLE = 3  # points of a line that is seen
EDGES = frozenset({"curb", "grass"})  # of the road: they are beside no lane of the traffic
BESIDE_M = (2.0, 25.0)  # how far ahead a line's place beside the camera is taken
ALONG_COS = np.cos(np.radians(45.0))  # lines of the lanes beside the camera's run along its view


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenLine:
    """A lane line in one picture, from near to far where it runs along the view.

    Attributes:
        number: of the line in the road map. line: the line itself.
        points: (N, 3) in camera axes, metres.
        pixels: (N, 2) column and row, the centre of a pixel being its index + 0.5.
        visible: (N,) whether nothing hides the point.
        side: -2, -1, 1 or 2 for the painted lines to the left and right of the camera, the nearest
            being -1 and 1; 0 for others.
    """

    number: int
    line: LaneLine
    points: Array
    pixels: Array
    visible: NDArray[np.bool_]
    side: int


def seen_lines(road_map: RoadMap, sample: Sample) -> list[SeenLine]:
    """Return the lines of which a frame shows something; `sample` needs its depth."""
    depth = np.asarray(sample.frame.labels["depth"], np.float32)
    found: list[tuple[int, LaneLine, Array, Array, NDArray[np.bool_]]] = []
    points, stretch, numbers = _in_range(road_map, sample.frame.cam_to_world)
    pixels, inside = _project(points, sample.frame.intrinsics, depth.shape)
    points, pixels, stretch = points[inside], pixels[inside], stretch[inside]
    visible = _visible(points, pixels, depth)
    seen = np.flatnonzero(np.bincount(stretch[visible]) >= MIN_VISIBLE)
    begins, ends = np.searchsorted(stretch, seen), np.searchsorted(stretch, seen, side="right")
    for which, begin, end in zip(seen, begins, ends, strict=True):
        backwards = points[begin, 2] > points[end - 1, 2]
        own = np.arange(begin, end)[:: -1 if backwards else 1]
        number = int(numbers[which])
        found.append((number, road_map.lines[number], points[own], pixels[own], visible[own]))
    painted = [number for number, one in enumerate(found) if one[1].kind not in EDGES]
    numbered = zip(painted, _sides([found[number][2] for number in painted]), strict=True)
    sides = [0] * len(found)
    for number, side in numbered:
        sides[number] = side
    return [
        SeenLine(number=number, line=line, points=points, pixels=pixels, visible=visible, side=side)
        for (number, line, points, pixels, visible), side in zip(found, sides, strict=True)
    ]


def _in_range(road_map: RoadMap, cam_to_world: Array) -> tuple[Array, Numbers, Numbers]:
    """Return the points (P, 3) in camera axes of all lines that are in range, in order.

    Second, the stretch (P,) of each, ascending: points of one line without a gap between them.
    Third, the line (S,) of each stretch.
    """
    spaced, line = road_map.spaced
    place, axes = cam_to_world[:3, 3], cam_to_world[:3, :3]
    ahead = spaced @ axes[:, 2] - place @ axes[:, 2]
    near = np.flatnonzero((ahead > NEAR_M) & (ahead < FAR_M))
    begins = (np.diff(near, prepend=-2) != 1) | (np.diff(line[near], prepend=-1) != 0)
    return (spaced[near] - place) @ axes, np.cumsum(begins) - 1, line[near[begins]]


def _project(
    points: Array, intrinsics: Array, shape: tuple[int, ...]
) -> tuple[Array, NDArray[np.bool_]]:
    """Return pixels (N, 2) of points (N, 3), and which of them are in the picture."""
    projected = points @ intrinsics.T
    pixels = projected[:, :2] / projected[:, 2:]
    inside = (pixels >= 0).all(axis=1) & (pixels < (shape[1], shape[0])).all(axis=1)
    return pixels, np.asarray(inside)


def _visible(points: Array, pixels: Array, depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which points (N, 3) are not behind the depth of their pixel.

    A far pixel covers metres of a road, so the row above, which sees farther, counts too.
    """
    columns, rows = pixels.astype(np.int64).T
    seen = np.maximum(depth[rows, columns], depth[np.maximum(rows - 1, 0), columns])
    return np.asarray(points[:, 2] <= seen * (1 + SLACK) + SLACK_M)


def _sides(lines: Sequence[Array]) -> list[int]:
    """Return the side of each line (N, 3): the two nearest on the left and on the right."""
    offsets: dict[int, float] = {}
    for number, points in enumerate(lines):
        ahead = points[(points[:, 2] > BESIDE_M[0]) & (points[:, 2] < BESIDE_M[1])]
        if len(ahead) < 2:
            continue
        run = ahead[-1] - ahead[0]
        if run[2] > ALONG_COS * np.linalg.norm(run):
            offsets[number] = float(ahead[0, 0])
    sides = [0] * len(lines)
    for sign in (-1, 1):
        near = sorted(abs(at) for at in offsets.values() if at * sign > 0)[:2]
        for number, at in offsets.items():
            if at * sign > 0 and abs(at) in near:
                sides[number] = sign * (near.index(abs(at)) + 1)
    return sides
