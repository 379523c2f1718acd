"""A report's plots of drives over time."""

from __future__ import annotations

import itertools
from html import escape

import numpy as np

from realmaster_live.system.plots import PALETTE, line_plot
from realmaster_live.training.evaluate.drives.colours import colour_drift
from realmaster_live.training.evaluate.drives.films import RENDER
from realmaster_live.training.evaluate.drives.run import DriveFilms
from realmaster_live.training.evaluate.drives.summary import mean
from realmaster_live.training.evaluate.drives.track import BRIGHTNESS, CHANGE, WARP


def plots(drive: DriveFilms) -> str:
    """Return a drive's plots as HTML."""
    seconds, render = drive.seconds, drive.films[RENDER].columns
    marks = seconds[drive.starts].tolist() if len(seconds) < 400 else []
    along = {
        name: (seconds, film.columns[WARP])
        for name, film in drive.films.items()
        if WARP in film.columns
    }
    lighter = {
        name: (seconds, film.columns[BRIGHTNESS] - render[BRIGHTNESS])
        for name, film in drive.films.items()
        if name != RENDER
    }
    places = chunk_places(drive)
    moved = {
        name: (seconds, colour_drift(drive.films[RENDER].palettes, film.palettes, drive.fps))
        for name, film in drive.films.items()
        if name != RENDER
    }
    by_place = {
        name: (
            np.unique(places),
            [mean(film.columns[CHANGE][places == place]) for place in np.unique(places)],
        )
        for name, film in drive.films.items()
        if CHANGE in film.columns
    }
    colours = dict(zip(drive.films, itertools.cycle(PALETTE)))
    return f"<p>{escape(drive.name)}</p>" + "".join(
        (
            line_plot(
                along, title="Change along the motion, levels; thin lines begin chunks",
                across="second", marks=marks, from_zero=True, colours=colours,
            ),
            line_plot(
                lighter, title="Mean brightness beyond the render's, levels",
                across="second", marks=marks, colours=colours,
            ),
            line_plot(
                moved,
                title="Drift of the mean colour from the render's since the first two seconds, "
                "L*a*b*",
                across="second",
                from_zero=True,
                colours=colours,
            ),
            line_plot(
                by_place, title="Mean change into each frame of a chunk, levels",
                across="frame", from_zero=True, colours=colours,
            ),
        )
    )  # fmt: skip


def chunk_places(drive: DriveFilms) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return (T,) the place of every frame in its chunk, from 0."""
    rows = np.arange(len(drive.starts))
    begins = np.maximum.accumulate(np.where(drive.starts, rows, 0))
    return np.asarray(rows - begins, np.int64)
