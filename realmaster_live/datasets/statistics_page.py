"""The statistics of recordings as text, and as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from realmaster_live.datasets.statistics import Distribution, Statistics
from realmaster_live.frames.classes import CLASS_IDS, PALETTE
from realmaster_live.system.plots import bar_plot

BAR = 24  # characters
STYLE = """body{font:15px/1.5 system-ui,sans-serif;color:#22272e;margin:2rem auto;max-width:960px;
padding:0 1rem}h1{font-size:1.5rem}.plots{display:grid;gap:1.2rem;
grid-template-columns:repeat(auto-fit,minmax(min(100%,760px),1fr))}
figure{margin:0;border:1px solid #e2e5e9;border-radius:8px;padding:.8rem;min-width:0}
.plot{overflow-x:auto}svg{width:100%;min-width:36rem;height:auto;display:block}
p{color:#5a616b;overflow-wrap:anywhere}
details{font-size:.85rem}td{padding:.05rem .8rem .05rem 0}td+td{text-align:right}
.damaged{color:#a32d22}"""


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
    damaged = "".join(
        f'<p class="damaged">left out: {escape(why)}</p>' for why in statistics.damaged.values()
    )
    names = ", ".join(str(folder) for folder in statistics.recordings)
    figures = "".join(_figure(one) for one in statistics.distributions)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>What the recordings hold</title><style>{STYLE}</style></head><body>"
        f"<h1>What the recordings hold</h1><p>{escape(_summary(statistics))}: {escape(names)}</p>"
        f'{damaged}<div class="plots">{figures}</div></body></html>\n'
    )


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
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{count:,}</td><td>{count / total:.1%}</td></tr>"
        for name, count in one.counts.items()
    )
    return (
        f'<figure><div class="plot">{plot}</div>'
        f"<details><summary>Numbers</summary><table>{rows}</table></details></figure>"
    )
