"""The stage that draws what the photoreal clip follows: edges, one grey map a frame.

VACE knows scribbles, black lines on white; Canny's white on black is for other networks.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.training.pairs import sources, videos
from realmaster_live.training.pairs.stabiliser import (
    Vote,
    flicker,
    motions_of,
    stabilise,
    with_lines,
    without_specks,
)
from realmaster_live.training.pairs.stage import Clip, Job, Stage, StageSpec, Value
from realmaster_live.training.pairs.vace import depth_control

SPREAD = 0.33  # of Canny's two thresholds about the median brightness
LEAST_THRESHOLD = 20.0  # levels; below it, a night's noise would be edges

Edges = NDArray[np.bool_]  # (T, H, W)


def instance_edges(instance: NDArray[np.integer]) -> Edges:  # (T, H, W)
    """Return the pixels whose right or lower neighbour shows another object."""
    edges = np.zeros(instance.shape, bool)
    edges[:, :, :-1] |= instance[:, :, 1:] != instance[:, :, :-1]
    edges[:, :-1] |= instance[:, 1:] != instance[:, :-1]
    return edges


def depth_edges(
    depth: NDArray[np.floating],  # (T, H, W) metres
    jump: float,
) -> Edges:
    """Return the pixels where inverse depth leaves the plane of its neighbours, by a share.

    Inverse depth is linear in the picture over a plane, however steep it is seen, so its second
    difference is zero there: a street that runs to the horizon has no edges. At a jump it is about
    the difference of the two; an edge is where that exceeds `jump` times the nearer side's inverse
    depth, and it lies on the nearer side.
    """
    near = 1 / np.maximum(depth.astype(np.float32), 0.1)
    edges = np.zeros(depth.shape, bool)
    for axis in (1, 2):
        x = np.moveaxis(near, axis, 1)
        bend = x[:, 2:] - 2 * x[:, 1:-1] + x[:, :-2]
        largest = np.maximum(np.maximum(x[:, 2:], x[:, :-2]), x[:, 1:-1])
        # the nearer side of a jump bends down, the farther side up
        np.moveaxis(edges, axis, 1)[:, 1:-1] |= -bend > jump * largest
    return edges


@dataclass(frozen=True, kw_only=True)
class EdgesConfig:
    """Table [edges].

    Attributes:
        method: "canny"; "exact", where objects end and depth jumps, from the labels instance and
            depth; or "depth", no edges but inverse depth, near is white (an ablation).
        with_canny: whether "exact" has Canny's edges too, such as lane marks.
        polarity: "vace" is black lines on white, "canny" white lines on black.
        low: Canny's lower threshold, levels of gradient; 0 for 0.67 of the clip's median grey.
        high: Canny's upper threshold; 0 for 1.33 of the clip's median grey.
        blur_px: standard deviation of the blur before Canny.
        stabilise: how frames t - 1 and t + 1 vote on frame t: "median", "or", "off".
        least_px: lines of fewer pixels are dropped before the vote.
        depth_jump: relative jump of inverse depth that is an edge.
    """

    method: Literal["canny", "exact", "depth"] = "canny"
    with_canny: bool = True
    polarity: Literal["vace", "canny"] = "vace"
    low: float = 0.0
    high: float = 0.0
    blur_px: float = 1.0
    stabilise: Vote = "median"
    least_px: int = 8
    depth_jump: float = 0.1

    def __post_init__(self) -> None:
        if self.low < 0 or (self.high and self.high <= self.low) or self.depth_jump <= 0:
            raise ConfigError(
                "expected 0 <= low < high (or high = 0) and depth_jump above 0 in [edges], got "
                f"{self.low}, {self.high} and {self.depth_jump}: leave them out for the defaults"
            )

    def thresholds(self, frames: NDArray[np.uint8]) -> tuple[float, float]:  # (T, H, W, 3)
        """Return Canny's thresholds of a clip: as given, and the rest from its grey levels."""
        low, high = thresholds(frames)
        if self.high:
            return self.low or min(low, self.high / 2), self.high
        return (self.low, max(high, 2 * self.low)) if self.low else (low, high)


def thresholds(
    frames: NDArray[np.uint8],  # (T, H, W, 3) RGB
) -> tuple[float, float]:
    """Return Canny's thresholds for a whole clip, from the median of its grey levels.

    One pair a clip: thresholds that follow each frame's brightness make lines flicker.
    """
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    median = float(np.median(grey))
    low = max((1 - SPREAD) * median, LEAST_THRESHOLD)
    return low, max((1 + SPREAD) * median, 2 * low)


def canny(
    frames: NDArray[np.uint8],  # (T, H, W, 3) RGB
    low: float,
    high: float,
    blur_px: float,
) -> NDArray[np.bool_]:
    """Return the edges (T, H, W) of Canny, "A Computational Approach to Edge Detection" (1986)."""
    edges = []
    for frame in frames:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if blur_px > 0:
            grey = cv2.GaussianBlur(grey, (0, 0), blur_px)
        edges.append(cv2.Canny(grey, low, high) > 0)
    return np.stack(edges)


class EdgesStage:
    """Writes a lossless grey video of the edges of a clip."""

    def __init__(self, config: EdgesConfig) -> None:
        self.config = config

    @property
    def spec(self) -> StageSpec:
        """Return what decides the keys."""
        return StageSpec(name="edges", version=1, suffix=".mkv", parameters=asdict(self.config))

    def run(self, job: Job, target: Path) -> Mapping[str, Value]:
        """Draw the maps of a clip; returns how much they flicker before and after the vote."""
        if self.config.method == "depth":
            maps = depth_control(_label(job.clip, "depth", self.config.method))
            videos.write_gray(target, maps, job.clip.fps)
            return {"method": "depth"}
        edges, facts = self._edges(job.clip)
        lines, paper = (0, 255) if self.config.polarity == "vace" else (255, 0)
        maps = np.where(edges, lines, paper).astype(np.uint8)
        videos.write_gray(target, maps, job.clip.fps)
        share = float(edges.mean())
        return facts | {"method": self.config.method, "edge_share": round(share, 4)}

    def _edges(self, clip: Clip) -> tuple[NDArray[np.bool_], dict[str, Value]]:
        config = self.config
        exact = np.zeros((clip.frames, clip.height, clip.width), bool)
        if config.method == "exact":
            exact |= instance_edges(_label(clip, "instance", config.method))
            jumps = depth_edges(_label(clip, "depth", config.method), config.depth_jump)
            exact = with_lines(exact, jumps)
            if not config.with_canny:
                return exact, {}
        frames = sources.read_frames(clip)
        low, high = config.thresholds(frames)
        drawn = canny(frames, low, high, config.blur_px)
        facts: dict[str, Value] = {"low": round(low, 1), "high": round(high, 1)}
        large = without_specks(drawn, config.least_px)
        if clip.frames == 1:
            return with_lines(exact, large), facts
        motions = motions_of(frames)
        edges = with_lines(exact, stabilise(large, motions, config.stabilise))
        return edges, facts | {
            "flicker_of_canny": round(flicker(drawn, motions[0]), 4),
            "flicker": round(flicker(edges, motions[0]), 4),
        }


def _label(clip: Clip, name: str, method: str) -> NDArray[Any]:
    if name not in clip.labels:
        have = ", ".join(clip.labels) or "no labels"
        raise PairError(
            f"expected the label {name} of {clip.clip_id} for the {method} method of [edges], got "
            f'{have}: record with it, or draw edges by method = "canny"'
        )
    return sources.read_label(clip, name)


def make(config: EdgesConfig, dataset: Path) -> Stage:
    """Return the stage."""
    del dataset  # all it reads is the source
    return EdgesStage(config)
