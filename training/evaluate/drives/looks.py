"""The page about several simulators: one engine, the same towns, the same figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from realmaster_live.system.atomic_files import write_json, write_text
from realmaster_live.system.pages import aligned, page
from realmaster_live.training.evaluate.drives.films import REALIZED, RENDER
from realmaster_live.training.evaluate.drives.kept_looks import Look
from realmaster_live.training.evaluate.drives.page import SCRIPT, STYLE, cell, row_of, table_of
from realmaster_live.training.evaluate.drives.summary import Figure

NAMES = (
    "KID x1000", "sKVD x1000", "flicker ratio", "warp ratio", "seam ratio", "edge F1",
    "structure distance", "mIoU", "depth SI-RMSE", "thing recall", "vanished things",
    "invented things", "palette drift",
)  # fmt: skip
Looks = Mapping[str, Look]


def figures_of(looks: Looks, figures: Sequence[Figure]) -> list[Figure]:
    """Return those of the figures that any look has for its realized film."""
    return [
        figure
        for figure in figures
        if figure.name in NAMES and any(each.value(REALIZED, figure) for each in looks.values())
    ]


def write_looks(folder: Path, looks: Looks, figures: Sequence[Figure]) -> None:
    """Write report.html and looks.json."""
    write_json(folder / "looks.json", {name: each.facts for name, each in looks.items()})
    write_text(folder / "report.html", page_of(looks, figures))


def page_of(looks: Looks, figures: Sequence[Figure]) -> str:
    """Return the page as HTML: a table of all looks, and of each a film and a slider."""
    rows = []
    for figure in figures_of(looks, figures):
        cells = []
        for each in looks.values():
            value, render = each.value(REALIZED, figure), each.value(RENDER, figure)
            note = "" if render is None else f"render {render.value:.3g}"
            cells.append(cell(figure, value, note))
        rows.append(row_of(figure, cells))
    shown = []
    for name, each in looks.items():
        report = f"{slug(name)}.html"
        shown.append(f'<h2>{escape(name)} <a href="{report}">report</a></h2>{each.shown}')
    body = (
        "<h1>One model, four simulators</h1>"
        '<p class="note">The realized films of the same towns, each as another game draws it. In '
        "brackets are 95 percent intervals; coloured figures differ from the render's on the same "
        f"frames.</p>{table_of(looks, rows)}{''.join(shown)}"
    )
    return page("Other simulators", body, style=STYLE, script=SCRIPT)


def slug(name: str) -> str:
    """Return what a look's report and folder are called."""
    return name.split()[0].lower()


def as_text(looks: Looks, figures: Sequence[Figure]) -> str:
    """Return the table for a terminal: the realized film's figures of every look."""
    rows = [["realized", *looks]]
    for figure in figures_of(looks, figures):
        values = [each.value(REALIZED, figure) for each in looks.values()]
        rows.append([figure.name, *("" if v is None else f"{v.value:.3f}" for v in values)])
    return "\n".join(aligned(rows))
