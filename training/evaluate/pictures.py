"""Realizes clips with an engine, and makes crops for networks and sheets for people.

Legend: T frames, H W pixels, N crops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from realmaster_live.engines.sizes import chunk_spans
from realmaster_live.errors import PairError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.protocols import Engine
from realmaster_live.system.pictures import write_picture

CROP = 224  # pixels, MobileNetV2's own input size
Labels = Mapping[str, NDArray[Any]]


def as_chunk(
    frames: NDArray[np.uint8],
    index: int,
    first: int,
    fps: float,
    labels: Labels | None = None,
    intrinsics: NDArray[np.float64] | None = None,
) -> Chunk:
    """Return frames, numbered from `first` on, as a chunk of a camera at the origin."""
    count = len(frames)
    numbers = np.arange(count) + first
    return Chunk(
        index=index,
        camera="held-out",
        frames=np.ascontiguousarray(frames),
        frame_ids=numbers,
        timestamps=numbers / fps,
        captured_at=np.zeros(count),
        intrinsics=np.eye(3) if intrinsics is None else intrinsics,
        cam_to_world=np.tile(np.eye(4), (count, 1, 1)),
        labels=labels or {},
    )


def realize_frames(
    engine: Engine,
    frames: NDArray[np.uint8],
    labels: Labels | None = None,
    intrinsics: NDArray[np.float64] | None = None,
) -> NDArray[np.uint8]:
    """Return a clip's whole chunks, joined (T, H, W, 3), as the engine realizes them from a reset.

    An engine that is guided by geometry takes it from the labels, each (T, H, W), and the (3, 3)
    intrinsics, where they are given.

    Raises:
        PairError: the clip is shorter than a chunk.
    """
    spec = engine.spec
    engine.reset()
    made: list[NDArray[np.uint8]] = []
    for index, span in enumerate(chunk_spans(spec, len(frames))):
        known = {name: np.asarray(label[span]) for name, label in (labels or {}).items()}
        chunk = as_chunk(frames[span], index, span.start, spec.fps, known, intrinsics)
        made.append(engine.realize(chunk).frames)
    if not made:
        raise PairError(
            f"expected clips of at least a chunk of {spec.first_frames} frames, got one of "
            f"{len(frames)}: render longer clips"
        )
    return np.concatenate(made)


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
