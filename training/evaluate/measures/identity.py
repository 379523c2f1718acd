"""Whether people and vehicles stay themselves: embeddings of faces, or of labelled things.

With a face detector it is the identity score of papers: ArcFace's cosine of faces that are found in
both pictures. Without one, whole labelled people and vehicles are cut out by their masks and
embedded, by ArcFace or by a network for re-identification; such cosines compare with each other
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.measure import mask_boxes
from realmaster_live.fidelity.regions import find_outline, find_regions
from realmaster_live.recording.sample import Sample
from realmaster_live.training.evaluate.drives.films import RENDER, Picture
from realmaster_live.training.evaluate.drives.summary import Figure, share_of
from realmaster_live.training.evaluate.measures.judged import MOVING
from realmaster_live.training.pairs.identity import SIDE, Detector, Recogniser, compare

LEAST_PX = 24  # shorter side of a face or a thing: what is smaller cannot be told apart
EVERY = 5  # frames: neighbouring ones show the same faces
SAME, MATCHED, MISSED, FACES = "cosines", "matched", "missed faces", "faces"
IDENTITY = Figure(
    name="identity", group="identity", better="higher", statistic=share_of(SAME, MATCHED),
    meaning="cosine of embeddings of people and vehicles, render and film",
    needs="no network for faces, or nobody near enough: give --identity-model",
)  # fmt: skip
LOST_FACES = Figure(
    name="lost faces", group="identity", better="lower", statistic=share_of(MISSED, FACES),
    meaning="faces of the render that are not found in the film",
    needs="no detector of faces: give --face-model",
)  # fmt: skip


@dataclass(kw_only=True)
class IdentityMeasure:
    """Compares faces, or labelled people and vehicles, with the render's.

    Attributes:
        recognise: embeds upright crops. detect: finds faces; None to cut out labelled things.
    """

    recognise: Recogniser
    detect: Detector | None = None
    _frame: int = field(default=-1)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return what is measured."""
        return (IDENTITY, LOST_FACES)

    def begin(self) -> None:
        """Begin another drive."""
        self._frame = -1

    def __call__(self, film: str, picture: Picture, sample: Sample) -> Mapping[str, float]:
        """Return the columns of a picture of a film."""
        self._frame += film == RENDER
        if film == RENDER or self._frame % EVERY:
            return {}
        if self.detect is None:
            cosines = [
                float(self.recognise(one) @ self.recognise(other))
                for one, other in zip(
                    crops(sample.image, sample), crops(picture, sample), strict=True
                )
            ]
            return {SAME: float(sum(cosines)), MATCHED: float(len(cosines))}
        found = compare(
            sample.image[None], picture[None], self.detect, self.recognise, least_px=LEAST_PX
        )
        matched = found.faces - found.missed
        return {
            SAME: found.similarity * matched,
            MATCHED: float(matched),
            MISSED: float(found.missed),
            FACES: float(found.faces),
        }


def crops(picture: Picture, sample: Sample) -> list[NDArray[np.uint8]]:  # (SIDE, SIDE, 3) each
    """Return a picture's labelled people and vehicles, each in the middle of a square."""
    regions = find_regions(sample.labels)
    if regions is None or "instance" not in sample.labels:
        return []
    things = regions.things(LEAST_PX**2 // 2)
    things = things[np.isin(regions.classes[things], list(MOVING))]
    index = np.full(len(regions.keys), -1)
    index[things] = np.arange(len(things))
    outline = find_outline(regions.numbers)
    own = outline.select(index[outline.inside] >= 0)
    boxes = mask_boxes(own, index, regions.numbers, len(things)).astype(int)
    height, width = picture.shape[:2]
    found = []
    for left, top, right, bottom in boxes.tolist():
        if min(right - left, bottom - top) < LEAST_PX:
            continue
        half = max(right - left, bottom - top) // 2
        x, y = (left + right) // 2, (top + bottom) // 2
        part = picture[max(0, y - half) : min(height, y + half),
                       max(0, x - half) : min(width, x + half)]  # fmt: skip
        found.append(np.asarray(cv2.resize(part, (SIDE, SIDE)), np.uint8))
    return found
