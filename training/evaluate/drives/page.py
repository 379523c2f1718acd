"""The page about evaluated drives: films, tables, plots, wipes; one HTML file, nothing else."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from realmaster_live.errors import PairError
from realmaster_live.system.pages import aligned, page, write_page
from realmaster_live.system.plots import PALETTE, interval_plot
from realmaster_live.training.evaluate.drives.over_time import plots
from realmaster_live.training.evaluate.drives.run import Evaluation
from realmaster_live.training.evaluate.drives.shown import Shown, film, wipes
from realmaster_live.training.evaluate.drives.summary import ENOUGH_DRIVES, Figure, Value

PLOTTED_DRIVES = 3
GLANCE = (
    "KID x1000", "CMMD", "sKVD x1000", "judged a photograph", "flicker ratio", "warp ratio",
    "seam ratio", "edge F1", "structure distance", "mIoU", "thing recall", "vanished things",
    "lights read right", "identity",
)  # fmt: skip
STYLE = """
td, th { min-width: 9.5rem; } td:first-child, th:first-child { width: 26rem; }
td span { color: #7a828b; font-size: .85em; white-space: nowrap; display: block; }
td small { display: block; color: #7a828b; max-width: 46ch; }
svg { margin-bottom: .8rem; }
.wipe { position: relative; margin-bottom: 1rem; --at: 50%; }
.wipe img { display: none; } .wipe img.left, .wipe img.right { display: block; }
.wipe img.right { position: absolute; inset: 0; clip-path: inset(0 0 0 var(--at)); }
.wipe img.left.right { position: static; clip-path: none; }
select { font: inherit; padding: .15rem .4rem; border: 1px solid #c8ccd2; border-radius: 4px; }
.wipe input { position: absolute; inset: 0; width: 100%; opacity: 0; cursor: ew-resize; }
.wipe i { position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; background: #fff;
  pointer-events: none; }
.wipe b { position: absolute; bottom: .5rem; padding: 0 .5rem; background: #000a; color: #fff;
  font-weight: 500; border-radius: 3px; pointer-events: none; }
.wipe b:last-of-type { right: .5rem; } .wipe b:first-of-type { left: .5rem; }
.names { display: flex; } .names span { flex: 1; text-align: center; color: #5a616b; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(30rem, 1fr)); gap: 1rem; }
"""
SCRIPT = """
for (const group of document.querySelectorAll('.wipes')) group.addEventListener('change', event => {
  const side = event.target.dataset.side;
  if (!side) return;
  for (const wipe of group.querySelectorAll('.wipe')) {
    for (const image of wipe.querySelectorAll('img'))
      image.classList.toggle(side, image.dataset.film === event.target.value);
    wipe.querySelectorAll('b')[side === 'left' ? 0 : 1].textContent = event.target.value;
  }
});
"""


def write_report(path: Path, evaluation: Evaluation, shown: Shown) -> None:
    """Write the page.

    Raises:
        PairError: it cannot be written.
    """
    write_page(path, page_of(evaluation, shown), error=PairError)


def page_of(evaluation: Evaluation, shown: Shown) -> str:
    """Return the page as HTML."""
    drives = ", ".join(f"{each.name} ({len(each.starts)} frames)" for each in evaluation.drives)
    drawn = "blocks of one second"
    if len(evaluation.drives) >= ENOUGH_DRIVES:
        drawn = f"drives, and {drawn} within them"
    groups = dict.fromkeys(each.group for each in evaluation.figures)
    parts = [
        "<h1>How real, how faithful, how steady</h1>",
        f'<p class="note">{escape(drives)}; camera {escape(evaluation.drives[0].camera)}.</p>',
        film(shown),
        "<h2>Slide from one film to another</h2>",
        wipes(shown),
        _glance(evaluation),
        f'<p class="note">In brackets are 95 percent intervals over {drawn}. Coloured figures '
        "differ from the render's on the same frames: green ones are better, red ones worse.</p>",
        *(_table(evaluation, group) for group in groups),
        "<h2>Over time</h2>",
        *(plots(drive) for drive in evaluation.drives[:PLOTTED_DRIVES]),
        _list("Measured with", evaluation.models),
        _list("Not measured", evaluation.skipped),
    ]
    return page("Evaluation", "".join(parts), style=STYLE, script=SCRIPT)


def _glance(evaluation: Evaluation) -> str:
    """Return the figures that say most as a plot of intervals."""
    rows: dict[str, dict[str, tuple[float, float, float]]] = {}
    for figure in evaluation.figures:
        if figure.name in GLANCE:
            found = {
                name: (value.value, *value.interval)
                for name, values in evaluation.values.items()
                if (value := values.get(figure.name)) is not None
            }
            if len(found) > 1:
                rows[f"{figure.name} ({figure.better})"] = found
    if not rows:
        return ""
    colours = dict(zip(evaluation.methods, itertools.cycle(PALETTE)))
    return interval_plot(rows, title="At a glance, and which values are good", colours=colours)


def _table(evaluation: Evaluation, group: str) -> str:
    rows = []
    for figure in (each for each in evaluation.figures if each.group == group):
        found = {name: evaluation.values[name].get(figure.name) for name in evaluation.methods}
        if any(found.values()):
            rows.append(row_of(figure, [cell(figure, value) for value in found.values()]))
    if not rows:
        return ""
    return f"<h2>{escape(group.capitalize())}</h2>{table_of(evaluation.methods, rows)}"


def row_of(figure: Figure, cells: Iterable[str]) -> str:
    """Return a figure's row: its name and meaning, then its cells."""
    meaning = f"<small>{escape(figure.meaning)}; {better(figure)}</small>"
    return f"<tr><td>{escape(figure.name)}{meaning}</td>{''.join(cells)}</tr>"


def table_of(names: Iterable[str], rows: Iterable[str]) -> str:
    """Return the table of rows with a column for each name."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    return f'<div class="scroll"><table><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'


def better(figure: Figure) -> str:
    """Return which values are good, in words."""
    if figure.better == "nearer":
        return f"near {figure.goal:g} is better"
    return f"{figure.better} is better"


def cell(figure: Figure, value: Value | None, note: str = "") -> str:
    """Return a value as a cell of a table, with its interval and the spread of its films."""
    if value is None:
        return f"<td><span>{escape(note)}</span></td>"
    low, high = value.interval
    notes = [] if math.isnan(low) else [f"[{low:.3g}, {high:.3g}]"]
    if value.spread is not None:
        notes.append(f"{value.films} seeds, \N{PLUS-MINUS SIGN}{value.spread:.2g}")
    spans = "".join(f"<span>{escape(each)}</span>" for each in [*notes, note] if each)
    return f'<td class="{verdict(figure, value)}">{value.value:.3g}{spans}</td>'


def verdict(figure: Figure, value: Value) -> str:
    """Return "better", "worse" or nothing, against the render."""
    if not value.differs or value.against is None:
        return ""
    if figure.better == "nearer":
        gain = abs(value.value - value.against - figure.goal) - abs(value.value - figure.goal)
    else:
        gain = value.against if figure.better == "higher" else -value.against
    return "better" if gain > 0 else "worse"


def _list(title: str, facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    items = "".join(f"<li>{escape(what)}: {escape(why)}</li>" for what, why in facts.items())
    return f"<h2>{title}</h2><ul>{items}</ul>"


def as_text(evaluation: Evaluation) -> str:
    """Return the figures as a table for a terminal."""
    rows = [["", *evaluation.methods]]
    for figure in evaluation.figures:
        values = [evaluation.values[name].get(figure.name) for name in evaluation.methods]
        if any(values):
            rows.append([figure.name, *("" if v is None else f"{v.value:.3f}" for v in values)])
    return "\n".join(
        [*aligned(rows), *(f"not measured: {k} ({v})" for k, v in evaluation.skipped.items())]
    )
