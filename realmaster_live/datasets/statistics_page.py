"""The statistics of recordings as text, and as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from realmaster_live.datasets.statistics import Distribution, Statistics
from realmaster_live.frames.classes import CLASS_IDS, PALETTE
from realmaster_live.system.pages import page, table
from realmaster_live.system.plots import bar_plot

BAR = 24  # characters
STYLE = """
.plots { display: grid; gap: 1.2rem; margin-top: 1.2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 760px), 1fr)); }
figure { margin: 0; min-width: 0; } .plot { overflow-x: auto; } svg { min-width: 36rem; }
details { font-size: .85rem; }
"""


def lines_of(statistics: Statistics) -> Iterator[str]:
    """Yield the statistics as lines of text."""
    yield _summary(statistics)
    for one in statistics.distributions:
        yield ""
        yield f"{one.title} ({one.of} by {one.across})"
        total, most = sum(one.counts.values()), max(one.counts.values(), default=0)
        if not most:
            yield "  none"
            continue
        width = max(map(len, one.counts))
        for name, count in one.counts.items():
            bar = "#" * round(BAR * count / most)
            yield f"  {name:{width}}  {count:10,}  {count / total:6.1%}  {bar}".rstrip()
    if statistics.damaged:
        yield ""
        yield from (f"left out: {why}" for why in statistics.damaged.values())


def page_of(statistics: Statistics) -> str:
    """Return the statistics as an HTML page."""
    left_out = "".join(
        f'<p class="worse">left out: {escape(why)}</p>' for why in statistics.damaged.values()
    )
    names = ", ".join(str(folder) for folder in statistics.recordings)
    figures = "".join(_figure(one) for one in statistics.distributions)
    title = "What the recordings hold"
    about = f'<h1>{title}</h1><p class="note">{escape(_summary(statistics))}: {escape(names)}</p>'
    return page(title, f'{about}{left_out}<div class="plots">{figures}</div>', style=STYLE)


def _summary(found: Statistics) -> str:
    count = len(found.recordings)
    return (
        f"{count} recording{'s' if count > 1 else ''}, {found.frames:,} frames at {found.ticks:,} "
        f"ticks, {found.seconds:,.1f} s, {found.objects:,} objects in view"
    )


def _figure(one: Distribution) -> str:
    colours = {
        name: "#{:02x}{:02x}{:02x}".format(*PALETTE[CLASS_IDS[name]].tolist())
        for name in one.counts
        if one.across == "class" and name in CLASS_IDS
    }
    plot = bar_plot(one.counts, title=f"{one.title} ({one.of})", across=one.across, colours=colours)
    total = sum(one.counts.values()) or 1
    rows = [
        (escape(name), f"{count:,}", f"{count / total:.1%}") for name, count in one.counts.items()
    ]
    return (
        f'<figure><div class="plot">{plot}</div>'
        f"<details><summary>Numbers</summary>{table(rows)}</details></figure>"
    )
