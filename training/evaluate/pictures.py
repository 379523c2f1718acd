"""Realizes clips with an engine, and makes crops for networks and sheets for people.

Legend: T frames, H W pixels, N crops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from realmaster_live.engines.sizes import chunk_spans
from realmaster_live.errors import PairError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.protocols import Engine
from realmaster_live.system.pictures import write_picture
from realmaster_live.training.data import Clip, optics_of, poses_of

CROP = 224  # pixels, MobileNetV2's own input size
Labels = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a simulator tells of a clip besides its pictures; all of it may be unknown.

    Attributes:
        labels: name -> (T, H, W).
        intrinsics: (3, 3), pixels.
        poses: (T, 4, 4), camera to world; None for a camera at the origin.
        weather: CARLA's parameters by name.
    """

    labels: Labels = field(default_factory=dict)
    intrinsics: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    poses: NDArray[np.float64] | None = None
    weather: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, clip: Clip, labels: Sequence[str] = (), *, light: bool = True) -> Known:
        """Return these labels of a clip, as far as it has them, and its light."""
        told = cls.stated(clip.facts, clip.size) if light else cls(intrinsics=clip.intrinsics)
        if not labels or clip.labels is None:
            return told
        return replace(told, labels=clip.read_labels(*labels))

    @classmethod
    def stated(cls, facts: Mapping[str, Any], size: tuple[int, int]) -> Known:
        """Return what the JSON file of a clip of H x W pixels states: optics, poses and weather."""
        poses = poses_of(facts)
        return cls(
            intrinsics=optics_of(facts, size),
            poses=poses,
            weather={} if poses is None else facts.get("weather") or {},
        )

    def at(self, rows: slice | NDArray[np.int64]) -> Known:
        """Return what is known of some frames."""
        labels = {name: np.asarray(label[rows]) for name, label in self.labels.items()}
        poses = None if self.poses is None else self.poses[rows]
        return replace(self, labels=labels, poses=poses)


def as_chunk(
    frames: NDArray[np.uint8], index: int, first: int, fps: float, known: Known | None = None
) -> Chunk:
    """Return frames, numbered from `first` on, as a chunk of one camera."""
    count = len(frames)
    numbers = np.arange(count) + first
    known = known or Known()
    poses = np.tile(np.eye(4), (count, 1, 1)) if known.poses is None else known.poses
    source = SourceInfo(weather=known.weather)
    return Chunk(
        index=index,
        camera="held-out",
        frames=np.ascontiguousarray(frames),
        frame_ids=numbers,
        timestamps=numbers / fps,
        captured_at=np.zeros(count),
        intrinsics=known.intrinsics,
        cam_to_world=poses,
        labels=known.labels,
        sources=(source,) * count,
    )


def realize_frames(
    engine: Engine, frames: NDArray[np.uint8], known: Known | None = None
) -> NDArray[np.uint8]:
    """Return a clip's whole chunks, joined (T, H, W, 3), as the engine realizes them from a reset.

    An engine that is guided by geometry or light takes it from what is known.

    Raises:
        PairError: the clip is shorter than a chunk.
    """
    fps = engine.spec.fps

    def cut(index: int, span: slice) -> Chunk:
        part = None if known is None else known.at(span)
        return as_chunk(frames[span], index, span.start, fps, part)

    return realize_spans(engine, len(frames), cut)


def realize_spans(
    engine: Engine, count: int, cut: Callable[[int, slice], Chunk]
) -> NDArray[np.uint8]:
    """Return the whole chunks among `count` frames, realized from a reset and joined (T, H, W, 3).

    `cut` returns a chunk for its index and its frames.

    Raises:
        PairError: there are fewer frames than a chunk.
    """
    spec = engine.spec
    engine.reset()
    spans = chunk_spans(spec, count)
    if not spans:
        raise PairError(
            f"expected clips of at least a chunk of {spec.first_frames} frames, got one of "
            f"{count}: render longer clips"
        )
    return np.concatenate(
        [engine.realize(cut(index, span)).frames for index, span in enumerate(spans)]
    )


def crops(frames: NDArray[np.uint8]) -> torch.Tensor:  # (T, H, W, 3) -> (N, CROP, CROP, 3)
    """Return adjacent crops along the middle of the frames, as many as fit."""
    _, height, width, _ = frames.shape
    top = (height - CROP) // 2
    lefts = np.linspace(0, width - CROP, max(1, width // CROP)).astype(int)
    pieces = [frames[:, top : top + CROP, left : left + CROP] for left in lefts]
    return torch.from_numpy(np.concatenate(pieces))


def write_sheet(
    path: Path, rows: Sequence[tuple[NDArray[np.uint8], ...]], labels: Sequence[str]
) -> None:
    """Write a contact sheet with one column for each label, the label above it."""
    width = rows[0][0].shape[1]
    head = np.full((24, width * len(labels), 3), 255, np.uint8)
    for column, label in enumerate(labels):
        place = (column * width + 8, 17)
        cv2.putText(head, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    sheet = np.concatenate([head, *(np.concatenate(row, 1) for row in rows)])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, sheet, quality=92)
