"""The report: a self-contained HTML file with tables, curves and pictures."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.system.pages import embedded, page
from realmaster_live.system.plots import line_plot
from realmaster_live.training.perception.detection import detect
from realmaster_live.training.perception.drawing import coloured, with_boxes
from realmaster_live.training.perception.examples import REAL, SIM, TRUTH, Example
from realmaster_live.training.perception.figures import Comparison, as_cells, bars
from realmaster_live.training.perception.runs import Run, Training, read_network
from realmaster_live.training.perception.segmentation import segment
from realmaster_live.training.perception.tasks import DETECTION, SEGMENTATION, Task, TestSet

SHOWN_EXAMPLES, SHOWN_TESTS = 4, 5
MIN_SCORE = 0.3  # boxes with lower scores are not drawn
STYLE = """
body { max-width: 1500px; } svg { max-width: 680px; } tr.sum td { font-weight: 600; }
td, th { white-space: nowrap; }
.rows { display: grid; gap: 4px; } .rows span { font-weight: 600; font-size: 13px; }
"""

CURVE_COLOURS: Mapping[str, str] = {
    SIM: "#7a7f87",
    REAL: "#1f6fd1",
    "mixed": "#9a4fc4",
    TRUTH: "#2f9155",
}


def curves(by_variant: Mapping[str, Sequence[Sequence[float]]], steps: int) -> str:
    """Return the SVG of variant -> loss curves, one for each seed, all of the same length."""
    means = {
        name: np.log10(np.mean(losses, axis=0))
        for name, losses in by_variant.items()
        if len(losses)
    }
    return line_plot(
        {name: (np.linspace(0, steps, len(mean)), mean) for name, mean in means.items()},
        title="loss",
        across="step",
        colours=CURVE_COLOURS,
        tick_text=lambda value: f"{10**value:.2f}",
    )


def write_report(
    path: Path,
    *,
    comparisons: Sequence[Comparison],
    results: Sequence[Mapping[str, Any]],
    examples: Sequence[Example],
    tests: Sequence[TestSet],
    tasks: Mapping[str, Task],
    runs: Path,
    options: Training,
    setting: str,
) -> None:
    """Write the page: the setting, then every task's tables, curves and pictures."""
    variants, inputs = list(comparisons[0].means), variants_of(examples)
    parts = [
        "<h1>Does it help perception?</h1>",
        f'<p class="note">{html.escape(setting)}</p>',
        "<h2>What the networks learn from</h2>",
        _sheet(
            [*inputs, "labels"],
            [_inputs(e, inputs) for e in _spread(examples, SHOWN_EXAMPLES)],
        ),
    ]
    for name, task in tasks.items():
        selected = [comparison for comparison in comparisons if comparison.task == name]
        parts += [f"<h2>{name.capitalize()}</h2>", *map(_table, selected)]
        losses = {
            variant: [
                result["curve"]
                for result in results
                if result["task"] == name and result["variant"] == variant
            ]
            for variant in variants
        }
        parts += ["<h3>Training loss, mean over seeds</h3>", curves(losses, options.steps)]
        networks = {
            variant: read_network(Run(variant=variant, task=name, seed=0), task, runs)
            for variant in variants
        }
        for test in tests:
            shown = [
                example
                for example in test.examples
                if (example.groups if name == SEGMENTATION else example.boxes) is not None
            ]
            if shown:
                rows = [
                    _answers(name, example, test, networks)
                    for example in _spread(shown, SHOWN_TESTS)
                ]
                heads = ["tested on", "labels", *(f"trained on {v}" for v in variants)]
                parts += [f"<h3>{html.escape(test.name)}, seed 0</h3>", _sheet(heads, rows)]
    page_text = page("Does it help perception?", "\n".join(parts), style=STYLE)
    path.write_text(page_text, encoding="utf-8")


def variants_of(examples: Sequence[Example]) -> list[str]:
    """Return those of the variants sim, real and truth that the examples have pictures of."""
    return [name for name in (SIM, REAL, TRUTH) if name in examples[0].pictures]


def _spread(examples: Sequence[Example], max_count: int) -> list[Example]:
    """Return up to `max_count` examples, evenly spaced, preferring those with many objects."""
    size = max(1, len(examples) // max_count)
    parts = [examples[start : start + size] for start in range(0, size * max_count, size)]
    return [max(part, key=_things) for part in parts if part]


def _things(example: Example) -> int:
    return 0 if example.boxes is None else int((~example.boxes.hard).sum())


def _inputs(example: Example, variants: Sequence[str]) -> list[str]:
    cells = [embedded(example.pictures[name], name) for name in variants]
    return [*cells, embedded(_labels(example, example.pictures[variants[0]]), "labels")]


def _labels(example: Example, picture: Any) -> Any:
    """Return the labels as a picture with boxes."""
    shown = picture if example.groups is None else coloured(example.groups)
    if example.boxes is None:
        return shown
    easy = ~example.boxes.hard
    return with_boxes(shown, example.boxes.corners[easy], example.boxes.kinds[easy])


def _answers(task: str, example: Example, test: TestSet, networks: Mapping[str, Any]) -> list[str]:
    picture = example.pictures[test.variant]
    labels = picture if task == DETECTION else coloured(example.groups)  # type: ignore[arg-type]
    if task == DETECTION and example.boxes is not None:
        easy = ~example.boxes.hard
        labels = with_boxes(picture, example.boxes.corners[easy], example.boxes.kinds[easy])
    cells = [embedded(picture, example.name), embedded(labels, "labels")]
    for name, network in networks.items():
        if task == SEGMENTATION:
            predicted = coloured(segment(network, picture))
        else:
            found = detect(network, picture)
            confident = found.scores > MIN_SCORE
            predicted = with_boxes(picture, found.corners[confident], found.kinds[confident])
        cells.append(embedded(predicted, f"trained on {name}"))
    return cells


def _table(comparison: Comparison) -> str:
    head, *rows = as_cells(comparison)
    lines = [f"<h3>On {html.escape(comparison.test)}</h3><div class=scroll><table>"]
    lines.append("<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>")
    classes = len(comparison.classes[next(iter(comparison.means))])
    for place, row in enumerate(rows):
        kind = ' class="sum"' if place >= classes else ""
        lines.append(f"<tr{kind}>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>")
    lines.append("</table></div>")
    lines += [
        f'<p class="{"better" if bar.reached else "worse"}">'
        f"{'Reached' if bar.reached else 'Missed'}: {bar.text}: {bar.figure}</p>"
        for bar in bars(comparison)
    ]
    return "".join(lines)


def _sheet(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [f"<span>{html.escape(head)}</span>" for head in heads]
    cells += [cell for row in rows for cell in row]
    columns = f"grid-template-columns: repeat({len(heads)}, 1fr)"
    return f'<div class="rows" style="{columns}">{"".join(cells)}</div>'
