"""One HTML file about a run: figures, machine, latency, pictures; it loads nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from realmaster_live.errors import RecordingError
from realmaster_live.live.stats import STAGES, Stats
from realmaster_live.recording import Meta
from realmaster_live.sinks.drawing import Picture
from realmaster_live.system.pages import embedded, page, table, write_page
from realmaster_live.system.plots import line_plot

STYLE = """
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 6px; }
figure { margin: 0; } figcaption { color: #5a616b; font-size: .9rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem;
  margin: 1.6rem 0 0; }
.cards div { background: #fff; border: 1px solid #e3e5e8; border-radius: 6px; padding: .7rem 1rem; }
.cards b { display: block; font-size: 1.5rem; font-weight: 600; }
.cards span { color: #5a616b; font-size: .88rem; }
table { width: 100%; } td { overflow-wrap: anywhere; }
"""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the page tells.

    Attributes:
        ages_ms: how old each frame was when the sinks had it, in order.
        pair: a rendered picture and its realized one. sheet: the contact sheet.
        meta: of the recording that the run made.
    """

    title: str
    meta: Meta
    stats: Stats
    ages_ms: Sequence[float]
    pair: tuple[Picture, Picture]
    sheet: Picture


def write_report(path: Path, report: Report) -> None:
    """Write the page.

    Raises:
        RecordingError: it cannot be written.
    """
    write_page(path, render(report), error=RecordingError)


def render(report: Report) -> str:
    """Return the page as HTML."""
    meta, stats, spec = report.meta, report.stats, report.meta.spec
    town = meta.about.source.map
    sub = f"{spec.width}×{spec.height}, {town}, {meta.created}, {meta.software}"
    title = escape(report.title)
    body = f"""<h1>{title}</h1>
<p class="note">{escape(sub)}</p>
<div class="pair">{_figure(report.pair[0], "simulator")}{_figure(report.pair[1], "realized")}</div>
<div class="cards">{_cards(stats)}</div>
<h2>Latency of each stage</h2>
{_stages(stats)}
<h2>Age of each frame when it was delivered</h2>
{latency_plot(report.ages_ms)}
<h2>Moments of the drive with their labels</h2>
{embedded(report.sheet, "rows of rendered and realized pictures with their labels", quality=88)}
<h2>What ran where</h2>
{table((name, escape(str(value))) for name, value in _facts(report))}"""
    return page(report.title, body, style=STYLE)


def latency_plot(ages_ms: Sequence[float]) -> str:
    """Return an SVG of milliseconds over frames, with the median and the 95th percentile."""
    if not ages_ms:
        return "<p>No frame was delivered.</p>"
    frames = range(len(ages_ms))
    lines: dict[str, tuple[ArrayLike, ArrayLike]] = {"age": (frames, ages_ms)}
    for share in (50, 95):
        value = float(np.percentile(ages_ms, share))
        lines[f"p{share} {value:.0f} ms"] = frames, [value] * len(ages_ms)
    whole = "{:.0f}".format
    return line_plot(lines, title="milliseconds", across="frame", from_zero=True, tick_text=whole)


def _cards(stats: Stats) -> str:
    delay = stats.latency_ms.get("end_to_end")
    figures = [
        (f"{stats.fps:.1f}", "frames a second"),
        (f"{delay.p50:.0f} ms" if delay else "", "capture to delivery, median"),
        (f"{stats.realized}", "frames realized"),
        (f"{stats.lost_frames}", "lost by the simulator"),
        (f"{stats.dropped_frames}", "dropped on the way"),
    ]
    return "".join(f"<div><b>{value}</b><span>{name}</span></div>" for value, name in figures)


def _stages(stats: Stats) -> str:
    rows = []
    for stage, meaning in STAGES.items():
        latency = stats.latency_ms.get(stage)
        if latency is not None and latency.count:
            figures = (latency.p50, latency.p95, latency.p99)
            rows.append((meaning, *(f"{value:.1f}" for value in figures), str(latency.count)))
    return table(rows, ("stage", "p50 ms", "p95 ms", "p99 ms", "count"))


def _facts(report: Report) -> Iterable[tuple[str, object]]:
    about, host, spec = report.meta.about, report.meta.host, report.meta.spec
    yield "processor", f"{host.get('cpu')}, {host.get('cores')} cores"
    yield "memory", f"{host.get('memory_gib')} GiB"
    yield "system", f"{host.get('system')}, Python {host.get('python')}"
    yield "engine", about.engine
    if about.engine_sha256:
        yield "engine files, SHA-256", about.engine_sha256
    yield "chunks", f"{spec.frames} frames of {spec.width}×{spec.height} at {spec.fps:g} a second"
    yield "when the engine is late", about.policy
    yield "seed", about.seed
    for key in ("simulator", "map", "server_version", "client_version"):
        if getattr(about.source, key):
            yield key.replace("_", " "), getattr(about.source, key)


def _figure(picture: Picture, caption: str) -> str:
    image = embedded(picture, caption, quality=88)
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
