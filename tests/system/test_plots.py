"""Plots are valid SVG whose shapes have the sizes of their values."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from realmaster_live.system.plots import ROW_LABEL, WIDTH, bar_plot, interval_plot, line_plot

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg):
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '))


def test_bars_are_as_high_as_their_values():
    root = parsed(
        bar_plot({"cars & <vans>": 40, "none": 0, "people": 10}, title="Seen", across="x")
    )
    heights = [float(bar.get("height")) for bar in root.iter(f"{SVG}rect")]
    assert heights[0] == pytest.approx(4 * heights[2], abs=0.3) and heights[1] == 0
    titles = [one.text for one in root.iter(f"{SVG}title")]
    assert titles == ["cars & <vans>: 40", "none: 0", "people: 10"]
    assert "Seen" in root.get("aria-label")


def test_what_has_no_value_says_so():
    assert bar_plot({}, title="A & B", across="x") == "<p>A &amp; B: there is nothing to plot.</p>"
    assert "nothing to plot" in bar_plot({"a": 0}, title="A", across="x")
    assert "nothing to plot" in line_plot({"a": ([0], [np.nan])}, title="A", across="x")


def test_a_gap_parts_a_line():
    values = [1.0, 2.0, np.nan, 4.0, 5.0]
    root = parsed(line_plot({"a": (range(5), values)}, title="T", across="frames"))
    stretches = [line.get("points").split() for line in root.iter(f"{SVG}polyline")]
    assert [len(points) for points in stretches] == [2, 2]
    heights = [float(point.split(",")[1]) for points in stretches for point in points]
    assert heights == sorted(heights, reverse=True)  # SVG's y points down


def test_intervals_have_a_scale_a_row_and_a_dot_each():
    nothing = float("nan")
    rows = {"one": {"a": (1.0, 0.0, 2.0), "b": (4.0, nothing, nothing)}, "two": {"a": (90.0,) * 3}}
    svg = interval_plot(rows, title="Figures", colours={"a": "#111111"})
    assert svg.count("<circle") == 3 and svg.count('stroke-opacity="0.5"') == 2
    first, last = (float(x) for x in re.findall(r'<circle cx="([\d.]+)"', svg)[:2])
    assert last - first == pytest.approx(0.75 * (WIDTH - 80 - ROW_LABEL), abs=0.2)
