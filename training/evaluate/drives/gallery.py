"""Writes what a page of the documentation shows of an evaluation: film, pictures, figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realmaster_live.system.atomic_files import write_json
from realmaster_live.system.pictures import write_picture
from realmaster_live.training.evaluate.drives.films import RENDER
from realmaster_live.training.evaluate.drives.page import GLANCE, better, verdict
from realmaster_live.training.evaluate.drives.run import Evaluation, known
from realmaster_live.training.evaluate.drives.shown import Shown, shown_over, write_film

FACTS, FILM = "gallery.json", "film.mp4"
PICTURES, QUALITY = 2, 85


def write_gallery(folder: Path, evaluation: Evaluation, shown: Shown, *, title: str) -> None:
    """Write gallery.json, film.mp4 and pairs of pictures, which benchmarks/gallery.py shows."""
    folder.mkdir(parents=True, exist_ok=True)
    write_film(folder / FILM, shown)
    wipes = []
    for number, still in enumerate(shown.wipes()[:PICTURES]):
        pair = []
        for side, name in (("before", RENDER), ("after", shown_over(still))):
            file = f"{number}-{side}.jpg"
            write_picture(folder / file, still[name], quality=QUALITY)
            pair.append({"file": file, "film": name})
        wipes.append(pair)
    write_json(
        folder / FACTS,
        {
            "title": title,
            "drives": [f"{each.name}, {len(each.starts)} frames" for each in evaluation.drives],
            "film": FILM,
            "wipes": wipes,
            "methods": list(evaluation.methods),
            "figures": rows(evaluation),
        },
    )


def rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the figures that say most, with each method's value and interval."""
    found = []
    for figure in evaluation.figures:
        values = {name: each.get(figure.name) for name, each in evaluation.values.items()}
        if figure.name in GLANCE and any(values.values()):
            cells = {
                name: {
                    "value": value.value, "interval": known(value.interval),
                    "verdict": verdict(figure, value),
                }
                for name, value in values.items()
                if value is not None
            }  # fmt: skip
            found.append({"name": figure.name, "better": better(figure), "values": cells})
    return found
