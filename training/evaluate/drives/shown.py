"""What a report shows of the first drive: a film of all methods, and pictures with sliders."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.recording.sample import Sample
from realmaster_live.recording.videos import Pictures, PictureWriter
from realmaster_live.system.pages import data_url, embedded
from realmaster_live.system.pictures import encode
from realmaster_live.training.evaluate.drives.films import REALIZED, RENDER, Picture

FILM_S, FILM_WIDTH, MOST_ACROSS = 8.0, 1536, 3
LETTERS = 0.6  # size of a film's name
WIPES = 4


@dataclass(kw_only=True)
class Shown:
    """Keeps what the page shows of the first drive; pictures come in order.

    Attributes:
        fps: frame rate of its film.
        film: the first seconds, all methods beside each other.
        stills: pictures by method, evenly over the drive.
    """

    fps: float
    film: list[Picture] = field(default_factory=list)
    stills: list[Mapping[str, Picture]] = field(default_factory=list)
    _name: str | None = None
    _index: int = 0
    _gap: int = 1

    def add(self, name: str, sample: Sample, pictures: Mapping[str, Picture]) -> None:
        """Keep a frame's pictures by method, if the page shows them."""
        self._name = self._name or name
        if name != self._name:
            return
        if self._index < FILM_S * self.fps:
            self.film.append(beside(pictures))
        if self._index % self._gap == 0:
            self.stills.append(dict(pictures))
            if len(self.stills) == 4 * WIPES:  # the drive is longer than it looked
                self.stills[:] = self.stills[::2]
                self._gap *= 2
        self._index += 1

    def wipes(self) -> list[Mapping[str, Picture]]:
        """Return a few of the stills, none at the drive's very ends."""
        places = np.linspace(0, len(self.stills) - 1, WIPES + 2)[1:-1].round().astype(int)
        return [self.stills[place] for place in dict.fromkeys(places.tolist())]


def beside(pictures: Mapping[str, Picture]) -> Picture:
    """Return the pictures of all films in rows of at most three, each with its name."""
    count = len(pictures)
    columns = {1: 1, 2: 2, 4: 2}.get(count, MOST_ACROSS)
    height, width = next(iter(pictures.values())).shape[:2]
    across = FILM_WIDTH // columns // 2 * 2
    down = round(across * height / width / 2) * 2
    tiles = [named(cv2.resize(x, (across, down), interpolation=cv2.INTER_AREA), name)
             for name, x in pictures.items()]  # fmt: skip
    tiles += [np.full_like(tiles[0], 250)] * (-count % columns)
    rows = [np.concatenate(tiles[n : n + columns], axis=1) for n in range(0, len(tiles), columns)]
    return np.asarray(np.concatenate(rows), np.uint8)


def named(picture: NDArray[Any], name: str) -> Picture:
    """Return a picture with a name on a dark strip in its lower left corner."""
    text = name.encode("ascii", "replace").decode()
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, LETTERS, 1)
    shown = np.array(picture, np.uint8)
    corner = shown[-height - 14 :, : width + 16]
    corner[:] = corner // 3
    at = 8, shown.shape[0] - 8
    cv2.putText(shown, text, at, cv2.FONT_HERSHEY_DUPLEX, LETTERS, (255,) * 3, 1, cv2.LINE_AA)
    return shown


def write_film(path: Path, shown: Shown) -> None:
    """Write the film of all methods side by side."""
    height, width = shown.film[0].shape[:2]
    how = Pictures(preset="veryfast", crf=26)
    with PictureWriter(path, (width, height), shown.fps, how) as writer:
        for picture in shown.film:
            writer.write(picture)


def film(shown: Shown) -> str:
    """Return the film as HTML that holds it."""
    if not shown.film:
        return "<p>No frame was measured.</p>"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        write_film(path, shown)
        content = data_url(path.read_bytes(), "video/mp4")
    middle = data_url(encode(shown.film[len(shown.film) // 2], ".jpg", 85), "image/jpeg")
    return f'<video controls loop muted playsinline poster="{middle}" src="{content}"></video>'


def shown_over(still: Mapping[str, Picture]) -> str:
    """Return which film a slider shows over the render: the realized one, or the last."""
    return REALIZED if REALIZED in still else list(still)[-1]


def wipes(shown: Shown, most: int = WIPES) -> str:
    """Return stills as HTML, each with a slider between two films, and lists to choose them."""
    stills = shown.wipes()[:most]
    if not stills:
        return ""
    over = shown_over(stills[0])
    chosen = []
    for side, film_name in (("left", RENDER), ("right", over)):
        options = "".join(
            f"<option{' selected' if name == film_name else ''}>{escape(name)}</option>"
            for name in stills[0]
        )
        chosen.append(f'<select data-side="{side}" aria-label="{side} film">{options}</select>')
    found = "".join(_wipe(still, over) for still in stills)
    return (
        f'<div class="wipes"><p class="note">{" to ".join(chosen)}</p>'
        f'<div class="grid">{found}</div></div>'
    )


def _wipe(still: Mapping[str, Picture], over: str) -> str:
    images = "".join(
        embedded(picture, name).replace(
            "<img ", f'<img data-film="{escape(name)}" class="{_side(name, over)}" ', 1
        )
        for name, picture in still.items()
    )
    return (
        f'<div class="wipe">{images}<i></i><b>{RENDER}</b><b>{escape(over)}</b>'
        '<input type="range" min="0" max="100" value="50" aria-label="wipe" '
        "oninput=\"this.parentNode.style.setProperty('--at', this.value + '%')\"></div>"
    )


def _side(name: str, over: str) -> str:
    sides = [side for side, film in (("left", RENDER), ("right", over)) if film == name]
    return " ".join(sides) or "off"
