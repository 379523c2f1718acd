"""The films that are compared: the render, a plain colour transfer, the realized one, and others'.

Legend: H W pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.recording.sample import Sample
from realmaster_live.training.evaluate.drives.films import (
    COLOUR_TRANSFER,
    REALIZED,
    RENDER,
    Maker,
    OtherFilm,
    Picture,
    open_film,
    some_pictures,
)
from realmaster_live.training.evaluate.drives.sources import DriveSource

STATISTICS_FRAMES = 60  # pictures that a colour transfer takes its means from
MIN_DEVIATION = 1e-3


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Mean and standard deviation of L*, a*, b* (CIE 1976, white D65) over pictures, (3,) each."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, pictures: Iterable[Picture]) -> Palette:
        """Return the palette of one or more pictures."""
        sums, squares, count = np.zeros(3), np.zeros(3), 0
        for picture in pictures:
            lab = _lab(picture).reshape(-1, 3).astype(np.float64)
            sums += lab.sum(0)
            squares += (lab**2).sum(0)
            count += len(lab)
        mean = sums / count
        return cls(mean=mean, deviation=np.sqrt(np.maximum(squares / count - mean**2, 0.0)))


def transfer(picture: Picture, source: Palette, target: Palette) -> Picture:
    """Return a picture whose palette is moved from one to another (Reinhard et al. 2001, eq. 10).

    In L*a*b* in place of the paper's lαβ. The palettes are those of whole films, so the transfer
    is the same in every frame.
    """
    gain = target.deviation / np.maximum(source.deviation, MIN_DEVIATION)
    moved = ((_lab(picture) - source.mean) * gain + target.mean).astype(np.float32)
    rgb = cv2.cvtColor(moved, cv2.COLOR_LAB2RGB)
    return np.asarray((rgb.clip(0, 1) * 255 + 0.5).astype(np.uint8))


def source_palette(samples: Iterable[Sample]) -> tuple[Palette, Palette | None]:
    """Return the palettes of the render and of the realized film, None without one."""
    chosen = list(itertools.islice(samples, STATISTICS_FRAMES))
    realized = [each.real for each in chosen if each.real is not None]
    return Palette.of(each.image for each in chosen), Palette.of(realized) if realized else None


def makers(
    source: DriveSource,
    films: Sequence[OtherFilm],
    *,
    target: Palette | None = None,
    measured: int,  # frames
) -> dict[str, Maker]:
    """Return method -> what returns its picture of a sample; samples come once and in order.

    The render's colours are transferred to `target`, or to the palette of the realized film, or of
    the first of the others. Without any there is no colour transfer.
    """
    streams = [name for name in ("sim", "real") if name in source.streams]
    every = max(1, len(source) // STATISTICS_FRAMES)
    palette, realized = source_palette(source.samples(streams=streams, every=every))
    if target is None and realized is None and films:
        target = Palette.of(some_pictures(films[0], STATISTICS_FRAMES))
    target = target or realized
    found: dict[str, Maker] = {RENDER: lambda sample: sample.image}
    if target is not None:
        goal = target
        found[COLOUR_TRANSFER] = lambda sample: transfer(sample.image, palette, goal)
    if realized is not None:
        found[REALIZED] = lambda sample: sample.real
    for film in films:
        found[film.name] = open_film(film, source.size, len(source), measured)
    return found


def _lab(picture: Picture) -> NDArray[np.float32]:
    lab = cv2.cvtColor(picture.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    return np.asarray(lab, np.float32)
