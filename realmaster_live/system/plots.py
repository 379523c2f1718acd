"""Plots as SVG that a page holds as it is: lines, bars and intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT, MARGIN = 900, 240, 52  # pixels
TICKS = 5
ROW_LABEL, ROW_GAP, DOT_GAP = 270, 10, 11  # of a plot of intervals, pixels
WIDEST_BAR = 120  # with the gap beside it
PALETTE = ("#7a7f87", "#c9892b", "#1f6fd1", "#9a4fc4", "#2f9155", "#b3392f", "#2aa3a3", "#55606e")
MOST_POINTS = 1500  # of a line: more cannot be told apart


def line_plot(
    lines: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str,
    across: str,
    colours: Mapping[str, str] | None = None,
    marks: Sequence[float] = (),
    tick_text: Callable[[float], str] = "{:.3g}".format,
    from_zero: bool = False,
) -> str:
    """Return an SVG of name -> (x, y); a value that is no number leaves a gap.

    `across` says what x is, and `marks` are places on it with a thin upright line.
    """
    series = {
        name: (np.asarray(x, np.float64), np.asarray(y, np.float64))
        for name, (x, y) in lines.items()
    }
    series = {name: (x, y) for name, (x, y) in series.items() if np.isfinite(y).any()}
    if not series:
        return f"<p>{escape(title)}: there is nothing to plot.</p>"
    all_x, all_y = (np.concatenate([pair[axis] for pair in series.values()]) for axis in (0, 1))
    x_range, y_range = _range(all_x), _range(all_y[np.isfinite(all_y)], from_zero)
    to_x = _scale(x_range, (MARGIN, WIDTH - 12))
    to_y = _scale(y_range, (HEIGHT - 34, 40))
    parts = [_begin(title)]
    for value in np.linspace(*y_range, TICKS).tolist():
        at = to_y(value)
        parts.append(
            f'<line x1="{MARGIN}" x2="{WIDTH - 12}" y1="{at:.1f}" y2="{at:.1f}" stroke="#e6e8eb"/>'
            f'<text x="{MARGIN - 6}" y="{at + 4:.1f}" text-anchor="end">{tick_text(value)}</text>'
        )
    parts += [
        f'<line x1="{to_x(at):.1f}" x2="{to_x(at):.1f}" y1="40" y2="{HEIGHT - 34}" '
        'stroke="#eef0f2"/>'
        for at in marks
    ]
    left = MARGIN
    for number, (name, (x, y)) in enumerate(series.items()):
        colour = (colours or {}).get(name, PALETTE[number % len(PALETTE)])
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
            for points in _points(x, y, to_x, to_y)
        ]
        parts.append(f'<text x="{left}" y="32" fill="{colour}">{escape(name)}</text>')
        left += 18 + 7 * len(name)
    low, high = x_range
    parts.append(
        f'<text x="{MARGIN}" y="{HEIGHT - 12}">{escape(across)} {low:.4g}</text>'
        f'<text x="{WIDTH - 12}" y="{HEIGHT - 12}" text-anchor="end">{high:.4g}</text></svg>'
    )
    return "".join(parts)


def bar_plot(
    bars: Mapping[str, float],
    *,
    title: str,
    across: str,
    colours: Mapping[str, str] | None = None,
    value_text: Callable[[float], str] = "{:,.0f}".format,
) -> str:
    """Return an SVG of name -> value of 0 or more, a bar for each in the given order.

    `across` says below the bars what their names are.
    """
    if not bars or max(bars.values()) <= 0:
        return f"<p>{escape(title)}: there is nothing to plot.</p>"
    to_y = _scale((0.0, max(bars.values())), (HEIGHT - 34, 46))
    step = min(WIDEST_BAR, (WIDTH - 12 - MARGIN) / len(bars))
    letters = max(3, int(step / 6.5))  # that fit below a bar
    parts = [_begin(title)]
    for number, (name, value) in enumerate(bars.items()):
        left, top = MARGIN + number * step, to_y(value)
        middle = left + step / 2
        short = name if len(name) <= letters else f"{name[: letters - 1]}…"
        colour = (colours or {}).get(name, PALETTE[2])
        parts.append(
            f"<g><title>{escape(name)}: {value_text(value)}</title>"
            f'<rect x="{left + step * 0.1:.1f}" width="{step * 0.8:.1f}" y="{top:.1f}" '
            f'height="{HEIGHT - 34 - top:.1f}" fill="{colour}"/>'
            f'<text x="{middle:.1f}" y="{top - 4:.1f}" text-anchor="middle">{value_text(value)}'
            f'</text><text x="{middle:.1f}" y="{HEIGHT - 20}" text-anchor="middle">{escape(short)}'
            "</text></g>"
        )
    parts.append(
        f'<line x1="{MARGIN}" x2="{WIDTH - 12}" y1="{HEIGHT - 34}" y2="{HEIGHT - 34}" '
        f'stroke="#c8ccd2"/><text x="{WIDTH - 12}" y="{HEIGHT - 4}" text-anchor="end">'
        f"{escape(across)}</text></svg>"
    )
    return "".join(parts)


def interval_plot(
    rows: Mapping[str, Mapping[str, tuple[float, float, float]]],
    *,
    title: str,
    colours: Mapping[str, str],
) -> str:
    """Return an SVG of row -> name -> (value, low, high): a dot with whiskers for each.

    Every row has a scale of its own, whose ends it states; bounds that are no numbers are left out.
    """
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    parts, left = [], MARGIN
    for name in names:
        colour = colours.get(name, PALETTE[0])
        parts.append(f'<text x="{left}" y="34" fill="{colour}">{escape(name)}</text>')
        left += 18 + 7 * len(name)
    top = 48
    for label, row in rows.items():
        numbers = [x for values in row.values() for x in values if math.isfinite(x)]
        low, high = _range(np.array(numbers))
        to_x = _scale((low, high), (ROW_LABEL, WIDTH - 80))
        height = ROW_GAP + DOT_GAP * len(row)
        middle = top + height / 2 + 4
        parts.append(
            f'<line x1="{MARGIN}" x2="{WIDTH - 12}" y1="{top}" y2="{top}" stroke="#eef0f2"/>'
            f'<text x="{MARGIN}" y="{middle:.1f}" fill="#1c2026">{escape(label)}</text>'
            f'<text x="{ROW_LABEL - 10}" y="{middle:.1f}" text-anchor="end">{low:.3g}</text>'
            f'<text x="{WIDTH - 12}" y="{middle:.1f}" text-anchor="end">{high:.3g}</text>'
        )
        for place, (name, (value, begin, end)) in enumerate(row.items()):
            y = top + (ROW_GAP + DOT_GAP) / 2 + DOT_GAP * place
            colour = colours.get(name, PALETTE[0])
            if math.isfinite(begin) and math.isfinite(end):
                parts.append(
                    f'<line x1="{to_x(begin):.1f}" x2="{to_x(end):.1f}" y1="{y}" y2="{y}" '
                    f'stroke="{colour}" stroke-width="2" stroke-opacity="0.5"/>'
                )
            parts.append(
                f'<circle cx="{to_x(value):.1f}" cy="{y}" r="4" fill="{colour}">'
                f"<title>{escape(name)}: {value:.3g}</title></circle>"
            )
        top += height
    return "".join([_begin(title, top + 12), *parts, "</svg>"])


def _begin(title: str, height: int = HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#5a616b">'
        f'<text x="{MARGIN}" y="16" font-weight="600">{escape(title)}</text>'
    )


def _range(values: NDArray[np.float64], from_zero: bool = False) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    low = min(low, 0.0) if from_zero else low
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _scale(values: tuple[float, float], pixels: tuple[float, float]) -> Callable[[float], float]:
    (low, high), (begin, end) = values, pixels
    return lambda value: begin + (end - begin) * (value - low) / (high - low)


def _points(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    to_x: Callable[[float], float],
    to_y: Callable[[float], float],
) -> list[str]:
    """Return the points of every stretch without a gap."""
    step = math.ceil(len(x) / MOST_POINTS)
    stretches: list[list[str]] = [[]]
    for across, down in zip(x[::step].tolist(), y[::step].tolist(), strict=True):
        if math.isfinite(down):
            stretches[-1].append(f"{to_x(across):.1f},{to_y(down):.1f}")
        elif stretches[-1]:
            stretches.append([])
    return [" ".join(stretch) for stretch in stretches if stretch]
