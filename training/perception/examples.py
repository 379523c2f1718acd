"""Labelled pictures: the path-traced frames of clips, in every variant.

A folder holds clips as `realmaster pairs render --with-labels` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.training.data import clip_files
from realmaster_live.training.perception.boxes import Boxes, boxes_of_masks
from realmaster_live.training.perception.groups import DETECTED, FROM_CARLA, NAMES

SIM, REAL, TRUTH = "sim", "real", "truth"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One frame in all variants, with its labels.

    Attributes:
        name: the clip's name and the frame's number. seed: the town's seed; -1 for photographs.
        pictures: variant -> (H, W, 3) uint8 RGB, all aligned pixel by pixel.
        groups: (H, W) uint8, indices into groups.NAMES, or IGNORE; None without pixel labels.
        boxes: boxes of the objects; None without box labels.
        depth: (H, W) float16 metres, inf at sky; None if unknown.
    """

    name: str
    seed: int
    pictures: Mapping[str, NDArray[np.uint8]]
    groups: NDArray[np.uint8] | None
    boxes: Boxes | None
    depth: NDArray[np.float16] | None = None

    def with_picture(self, variant: str, picture: NDArray[np.uint8]) -> Example:
        """Return this example with one more variant."""
        return replace(self, pictures={**self.pictures, variant: picture})


@dataclass(frozen=True, kw_only=True)
class LabelledClip:
    """A finished clip in a folder; its arrays are not read yet."""

    path: Path  # of its JSON file
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The clip's name."""
        return self.path.stem

    def file(self, ending: str) -> Path:
        """Return the clip's file with an ending such as `labels.npz`."""
        return self.path.with_name(f"{self.name}.{ending}")

    def traced(self, max_frames: int) -> list[tuple[int, int]]:
        """Return (frame, index in the truth) of up to `max_frames` traced frames, evenly spaced.

        The last one is always included, because an engine's past is full by then.
        """
        frames: list[int] = self.facts.get("truth_frames") or list(range(self.facts["frames"]))
        count = min(max_frames, len(frames))
        places = [len(frames) - 1 - step * len(frames) // count for step in range(count)]
        return [(frames[place], place) for place in sorted(places)]


def labelled_clips(folders: Sequence[Path]) -> list[LabelledClip]:
    """Return the finished clips with labels in several folders; PairError if there is none."""
    found = [
        LabelledClip(path=path, facts=json.loads(path.read_text()))
        for folder in folders
        for path in clip_files(folder)
    ]
    clips = [clip for clip in found if clip.file("labels.npz").is_file()]
    if not clips:
        raise PairError(
            f"expected clips with labels in {', '.join(map(str, folders))}, got none of "
            f"{len(found)}: make them with realmaster pairs render --with-labels"
        )
    return clips


def read_examples(clips: Sequence[LabelledClip], max_frames: int) -> list[list[Example]]:
    """Return, for each clip, up to `max_frames` of its path-traced frames as examples."""
    return [_examples_of(clip, clip.traced(max_frames)) for clip in clips]


def labelled(examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """Return how much of each class there is to be judged by.

    `pixels` holds each group's share of all labelled pixels in percent, `boxes` the number of boxes
    of each detected kind that are large enough to count.
    """
    counts, boxes = np.zeros(256), np.zeros(len(DETECTED), np.int64)
    for example in examples:
        if example.groups is not None:
            counts += np.bincount(example.groups.ravel(), minlength=256)
        if example.boxes is not None:
            boxes += np.bincount(example.boxes.kinds[~example.boxes.hard], minlength=len(DETECTED))
    shares = 100 * counts[: len(NAMES)] / max(1.0, counts[: len(NAMES)].sum())
    return {
        "pixels": {name: float(x) for name, x in zip(NAMES, shares, strict=True) if x},
        "boxes": {name: float(x) for name, x in zip(DETECTED, boxes, strict=True)},
    }


def _examples_of(clip: LabelledClip, wanted: Sequence[tuple[int, int]]) -> list[Example]:
    sim, truth = (np.load(clip.file(f"{kind}.npy"), mmap_mode="r") for kind in (SIM, TRUTH))
    with np.load(clip.file("labels.npz")) as labels:
        semantic, instance, depth = (labels[key] for key in ("semantic", "instance", "depth"))
    if semantic.shape != sim.shape[:3] or truth.shape[1:] != sim.shape[1:]:
        raise PairError(
            f"expected a render, truth and labels of one size for {clip.path}, got "
            f"{sim.shape}, {truth.shape} and {semantic.shape}: render the clip again"
        )
    examples = []
    for frame, place in wanted:
        groups = FROM_CARLA[semantic[frame]]
        examples.append(
            Example(
                name=f"{clip.name}:{frame}",
                seed=int(clip.facts["seed"]),
                pictures={SIM: np.array(sim[frame]), TRUTH: np.array(truth[place])},
                groups=groups,
                boxes=boxes_of_masks(groups, instance[frame]),
                depth=depth[frame],
            )
        )
    return examples
