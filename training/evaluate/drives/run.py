"""Evaluates drives and clips: every film frame by frame, then over all of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.recording.about import META
from realmaster_live.recording.sample import Sample
from realmaster_live.training.evaluate.drives.colours import drift_rate
from realmaster_live.training.evaluate.drives.figures import DRIFT, DRIFT_RATE, FIGURES
from realmaster_live.training.evaluate.drives.films import (
    COLOUR_TRANSFER,
    REALIZED,
    RENDER,
    Maker,
    OtherFilm,
    Picture,
    first_frames,
    method_of,
)
from realmaster_live.training.evaluate.drives.live_figures import LIVE_FIGURES
from realmaster_live.training.evaluate.drives.methods import Palette, makers
from realmaster_live.training.evaluate.drives.motion import frame_motion
from realmaster_live.training.evaluate.drives.sets import EVERY_S, SetMeasure
from realmaster_live.training.evaluate.drives.sources import DriveSource, RecordedDrive
from realmaster_live.training.evaluate.drives.summary import (
    BLOCK_S,
    Figure,
    Value,
    mean,
    summarize,
)
from realmaster_live.training.evaluate.drives.track import NAN, Measured, PictureMeasure, Track
from realmaster_live.training.pairs.palette import wander
from realmaster_live.training.pairs.structure import Descriptor, gradient_histograms


@dataclass(frozen=True, kw_only=True)
class DriveFilms:
    """One drive's films, measured.

    Attributes:
        name: of the drive. camera: whose pictures they are. fps: of the simulation clock.
        starts: (T,) whether a frame begins a chunk. seconds: (T,) since the drive's first frame.
        films: its name -> its figures.
    """

    name: str
    camera: str
    fps: float
    starts: NDArray[np.bool_]
    seconds: NDArray[np.float64]
    films: Mapping[str, Measured]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All drives, measured.

    Attributes:
        drives: one entry a drive. values: method -> figure -> value over all drives.
        figures: all that could have been measured. skipped: what was not -> the reason.
        models: what a figure was measured with -> file and its SHA-256, or package.
    """

    drives: tuple[DriveFilms, ...]
    values: Mapping[str, Mapping[str, Value]]
    figures: tuple[Figure, ...] = FIGURES
    skipped: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        """Return the methods, the render first."""
        return tuple(self.values)

    def facts(self) -> dict[str, Any]:
        """Return everything for a JSON file."""
        return {
            "drives": [
                {"name": each.name, "camera": each.camera, "frames": len(each.starts)}
                for each in self.drives
            ],
            "methods": {
                method: {
                    figure: {
                        "value": value.value,
                        "interval_95": known(value.interval),
                        "minus_render": value.against,
                        "minus_render_95": known(value.against_interval),
                        "films": value.films,
                        "spread": value.spread,
                    }
                    for figure, value in found.items()
                }
                for method, found in self.values.items()
            },
            "models": dict(self.models),
            "skipped": dict(self.skipped),
        }


def known(bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return bounds, or None where they are not known: JSON has no NaN."""
    return None if bounds is None or np.isnan(bounds).any() else bounds


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What is measured beside what every evaluation has.

    Attributes:
        describe: what structure is told by. pictures: measures of single pictures.
        sets: measures of whole sets of pictures. target: palette for the transfer of colours.
        skipped: what is not measured -> the reason. models: see `Evaluation`.
    """

    describe: Descriptor = gradient_histograms
    pictures: tuple[PictureMeasure, ...] = ()
    sets: tuple[SetMeasure, ...] = ()
    target: Palette | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return all figures, those of sets first: they say how real films look."""
        sets = itertools.chain.from_iterable(each.figures for each in self.sets)
        pictures = itertools.chain.from_iterable(each.figures for each in self.pictures)
        return (*sets, *FIGURES, *pictures, *LIVE_FIGURES)


def evaluate_drives(
    sources: Sequence[DriveSource],
    *,
    films: Sequence[OtherFilm] = (),
    measures: Measures = Measures(),
    seconds: float | None = None,
    seed: int = 0,
    watch: Callable[[str, Sample, Mapping[str, Picture]], object] = lambda name, sample, of: None,
) -> Evaluation:
    """Measure the render, a colour transfer, the realized film and others' films of drives.

    Args:
        sources: the drives.
        films: other methods' films of the drives, all of which have films of the same names.
        measures: what is measured beside time, structure, colours and trust.
        seconds: measure no more than the first ones of each drive.
        seed: of the intervals' resamples.
        watch: called with every drive's name, sample and pictures by film; black where a film
            lacks a frame.

    Raises:
        ConfigError: the films do not belong to one drive, or do not match it.
        RecordingError, PairError: a drive or a film cannot be read.
    """
    if len(sources) != 1 and any(film.drive is None for film in films):
        raise ConfigError(
            f"expected one drive with films of other methods, got {len(sources)}: evaluate each "
            "drive with its own films"
        )
    _check(sources)
    skipped = dict(measures.skipped)
    measured: list[DriveFilms] = []
    for number, source in enumerate(sources):
        count = first_frames(seconds, source.fps, len(source))
        own = [film for film in films if film.drive in (None, number)]
        of = makers(source, own, target=measures.target, measured=count)
        before = sum(math.ceil(len(each.starts) / each.fps / BLOCK_S) for each in measured)
        measured.append(_measure(source, of, measures, count, watch, skipped, before))
    values = _summary(measured, measures.figures, seed)
    for name, found in values.items():
        if name != RENDER:
            found |= _drift(measured, name)
    for name, found in _live(sources, films).items():
        if name in values:
            values[name] |= found
    for each in measures.sets:
        found_of, reasons = each.values(tuple(values))
        skipped |= reasons
        for name, found in found_of.items():
            values[name] |= found
    if COLOUR_TRANSFER not in values:
        skipped[COLOUR_TRANSFER] = "neither realized pictures nor photographs to take colours from"
    for figure in measures.figures:
        if not any(figure.name in found for found in values.values()):
            skipped.setdefault(figure.name, figure.needs or "nothing in these drives says it")
    return Evaluation(
        drives=tuple(measured), values=values, figures=measures.figures, skipped=skipped,
        models=measures.models,
    )  # fmt: skip


def _check(sources: Sequence[DriveSource]) -> None:
    """Raise ConfigError unless every drive has frames, and the same films."""
    empty = [each.name for each in sources if not len(each)]
    if empty:
        raise ConfigError(
            f"expected frames in every drive, got none in {', '.join(empty)}: leave it out"
        )
    bare = [each.name for each in sources if "real" not in each.streams]
    if 0 < len(bare) < len(sources):
        raise ConfigError(
            f"expected realized pictures in all {len(sources)} drives or in none, got none in "
            f"{', '.join(bare)}: leave it out or replay it through the engine"
        )


def _measure(
    source: DriveSource,
    of: Mapping[str, Maker],
    measures: Measures,
    count: int,  # frames
    watch: Callable[[str, Sample, Mapping[str, Picture]], object],
    skipped: dict[str, str],
    first_block: int,
) -> DriveFilms:
    """Measure the films of one drive in one pass."""
    fps = source.fps
    if not {"flow", "depth"} & set(source.streams):
        skipped["exact motion"] = (
            f"{source.name} has neither flow nor depth, so motion is estimated from the render: "
            "record with --labels depth,semantic,instance,flow"
        )
    tracks = {
        film: Track(film=film, describe=measures.describe, measures=measures.pictures)
        for film in of
    }
    for measure in measures.pictures:
        measure.begin()
    starts, times, lacking = [], [], dict.fromkeys(of, 0)
    before: Sample | None = None
    every = max(1, round(EVERY_S * fps))
    for index, sample in enumerate(itertools.islice(source.samples(), count)):
        pictures = {film: picture(sample) for film, picture in of.items()}
        motion = None
        if before is not None and _follows(before, sample, fps):
            motion = frame_motion(sample, before)
        for film, picture in pictures.items():
            tracks[film].add(picture, sample, motion)
            lacking[film] += picture is None
            if picture is not None and index % every == 0:
                for each in measures.sets:
                    each.add(film, picture, sample, first_block + int(index / fps / BLOCK_S))
        black = np.zeros_like(sample.image)
        watch(source.name, sample, {k: black if v is None else v for k, v in pictures.items()})
        starts.append(sample.chunk_start)
        times.append(sample.frame.timestamp)
        before = sample
    for film, absent in lacking.items():
        if absent:
            skipped[f"{absent} frames of {film}"] = (
                f"its film of {source.name} lacks these frame numbers"
            )
    return DriveFilms(
        name=source.name,
        camera=source.camera,
        fps=fps,
        starts=np.array(starts, bool),
        seconds=np.array(times) - (times[0] if times else 0.0),
        films={film: track.measured() for film, track in tracks.items()},
    )


def _follows(before: Sample, sample: Sample, fps: float) -> bool:
    """Return whether nothing was lost between two frames, nor the world changed."""
    step = sample.frame.timestamp - before.frame.timestamp
    return not sample.frame.dropped_before and 0 < step < 1.5 / fps


def _summary(
    drives: Sequence[DriveFilms], figures: Sequence[Figure], seed: int
) -> dict[str, dict[str, Value]]:
    columns = {}
    for name in drives[0].films:
        names = dict.fromkeys(key for each in drives for key in each.films[name].columns)
        columns[name] = {
            key: np.concatenate(
                [
                    each.films[name].columns.get(key, np.full(len(each.starts), NAN))
                    for each in drives
                ]
            )
            for key in names
        }
    starts = np.concatenate([each.starts for each in drives])
    owners = np.concatenate([np.full(len(each.starts), n) for n, each in enumerate(drives)])
    block = max(1, round(BLOCK_S * drives[0].fps))
    return summarize(columns, starts, owners, block=block, figures=figures, seed=seed)


def _live(
    sources: Sequence[DriveSource], films: Sequence[OtherFilm]
) -> dict[str, dict[str, Value]]:
    """Return method -> figures of the runs that recorded its films, the mean over them."""
    runs: dict[str, list[Mapping[str, Value]]] = {REALIZED: [x.live_values() for x in sources]}
    for film in films:
        if (film.path / META).exists():
            run = RecordedDrive(film.path).live_values()
            runs.setdefault(method_of(film.name), []).append(run)
    found: dict[str, dict[str, Value]] = {}
    for method, values in runs.items():
        names = dict.fromkeys(name for each in values for name in each)
        found[method] = {}
        for name in names:
            known = [each[name] for each in values if name in each]
            average = float(np.mean([each.value for each in known]))
            interval = known[0].interval if len(known) == 1 else Value(value=0.0).interval
            found[method][name] = Value(value=average, interval=interval, films=len(known))
    return found


def _drift(drives: Sequence[DriveFilms], method: str) -> dict[str, Value]:
    """Return how a method's colours wander and drift, the mean over drives and films."""
    wanders, rates = [], []
    for each in drives:
        render = each.films[RENDER].palettes
        for name, film in each.films.items():
            known = ~np.isnan(film.palettes).any(1)
            if method_of(name) == method and known.sum() > 1:
                wanders.append(wander(render[known], film.palettes[known]))
                rates.append(drift_rate(render, film.palettes, each.seconds))
    values = {DRIFT.name: mean(np.array(wanders)), DRIFT_RATE.name: mean(np.array(rates))}
    return {name: Value(value=x) for name, x in values.items() if not math.isnan(x)}
