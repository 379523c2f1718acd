"""Measures one film of a drive frame by frame.

Legend: H W pixels, T frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from realmaster_live.fidelity.measure import REQUIRED_LABELS, measure
from realmaster_live.recording.sample import Sample
from realmaster_live.training.evaluate.drives.films import RENDER, Picture
from realmaster_live.training.evaluate.drives.summary import Figure
from realmaster_live.training.evaluate.metrics import LUMA
from realmaster_live.training.evaluate.warp import Motion, remap
from realmaster_live.training.pairs.alignment import edge_f1, edges
from realmaster_live.training.pairs.palette import palette
from realmaster_live.training.pairs.structure import Descriptor, structure_distance

NAN = float("nan")
TRUST = ("edges", "depth_order", "semantics", "boxes", "lights")  # of fidelity.measure
CHANGE, BRIGHTNESS, STEP, WARP = "change", "brightness", "brightness step", "warp"
EDGES, STRUCTURE = "edge F1", "structure"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The figures of one film.

    Attributes:
        columns: figure -> one value a frame, NaN where there is none.
        palettes: (T, 6), see `palette`.
    """

    columns: Mapping[str, NDArray[np.float64]]
    palettes: NDArray[np.float64]


class PictureMeasure(Protocol):
    """Measures single pictures of films."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return what its columns are summed up to."""

    def begin(self) -> None:
        """Begin another drive."""

    def __call__(self, film: str, picture: Picture, sample: Sample) -> Mapping[str, float]:
        """Return column -> value of a film's picture; frames come in order, the render's first."""


@dataclass(kw_only=True)
class Track:
    """Collects the figures of one film; frames come in order.

    Attributes:
        film: its name. describe: what structure is told by. measures: what else is measured.
    """

    film: str
    describe: Descriptor
    measures: Sequence[PictureMeasure] = ()
    _columns: dict[str, list[float]] = field(default_factory=dict)
    _palettes: list[NDArray[np.float64]] = field(default_factory=list)
    _before: Picture | None = None

    def add(self, picture: Picture | None, sample: Sample, motion: Motion | None) -> None:
        """Measure a picture, None for one that the film lacks.

        `motion` leads to the frame before, None where there is none.
        """
        row: dict[str, float] = {}
        if picture is not None:
            row[BRIGHTNESS] = float((picture.astype(np.float32) @ LUMA).mean())
            if motion is not None and self._before is not None:
                row |= changes(self._before, picture, motion)
                row[STEP] = abs(row[BRIGHTNESS] - self._columns[BRIGHTNESS][-1])
            if self.film != RENDER:  # whose agreement with itself says nothing
                row |= agreement(picture, sample, self.describe)
            for measure in self.measures:
                row |= measure(self.film, picture, sample)
        for name in dict.fromkeys((*self._columns, *row)):
            column = self._columns.setdefault(name, [NAN] * len(self._palettes))
            column.append(row.get(name, NAN))
        self._palettes.append(np.full(6, NAN) if picture is None else palette(picture[None])[0])
        self._before = picture

    def measured(self) -> Measured:
        """Return all figures so far."""
        columns = {name: np.array(values) for name, values in self._columns.items()}
        return Measured(columns=columns, palettes=np.array(self._palettes).reshape(-1, 6))


def changes(before: Picture, picture: Picture, motion: Motion) -> dict[str, float]:
    """Return the mean absolute change from one frame to the next, as it is and along the motion.

    Both in levels of 255; the second over the motion's valid pixels.
    """
    plain = np.abs(picture.astype(np.int16) - before)
    valid = motion.valid[0]
    earlier = remap(before.astype(np.float32), motion.before[0])
    warped = np.abs(picture - earlier)[valid].mean() if valid.any() else NAN
    return {CHANGE: float(plain.mean()), WARP: float(warped)}


def agreement(picture: Picture, sample: Sample, describe: Descriptor) -> dict[str, float]:
    """Return how far a picture shows what its render and its labels do."""
    render, labels = sample.image, sample.labels
    found: dict[str, Any] = {
        EDGES: edge_f1(edges(render), edges(picture)),
        STRUCTURE: structure_distance(render[None], picture[None], describe),
    }
    if any(name in labels for name in REQUIRED_LABELS):
        trust = measure(render, picture, labels, sample.frame.objects)
        found |= {name: getattr(trust, name) for name in TRUST}
    return {name: float(value) for name, value in found.items()}
