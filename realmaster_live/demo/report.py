"""One HTML file about a run: figures, machine, latency, pictures; it loads nothing else."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from realmaster_live.errors import RecordingError, reason
from realmaster_live.live.stats import STAGES, Stats
from realmaster_live.recording import Meta
from realmaster_live.sinks.drawing import Picture, jpeg_bytes

PLOT_W, PLOT_H = 920, 220
STYLE = """
:root { font: 16px/1.55 system-ui, sans-serif; color: #1c2026; background: #fafafa; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 68rem; }
h1 { font-size: 1.9rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .7rem; }
.sub { color: #6e747c; margin: .2rem 0 1.6rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 6px; }
figure { margin: 0; } figcaption { color: #6e747c; font-size: .9rem; }
img { width: 100%; display: block; border-radius: 4px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem;
  margin: 1.6rem 0 0; }
.cards div { background: #fff; border: 1px solid #e3e5e8; border-radius: 6px; padding: .7rem 1rem; }
.cards b { display: block; font-size: 1.5rem; font-weight: 600;
  font-variant-numeric: tabular-nums; }
.cards span { color: #6e747c; font-size: .88rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .32rem .8rem .32rem 0; border-bottom: 1px solid #e3e5e8; }
th { color: #6e747c; font-weight: 500; } td.n, th.n { text-align: right; }
svg { width: 100%; height: auto; background: #fff; border: 1px solid #e3e5e8; border-radius: 6px; }
code { font-size: .86rem; overflow-wrap: anywhere; }
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
    try:
        path.write_text(render(report), encoding="utf-8")
    except OSError as error:
        raise RecordingError(
            f"expected to write {path}, got {reason(error)}: free some disk space or choose "
            "another place"
        ) from error


def render(report: Report) -> str:
    """Return the page as HTML."""
    meta, stats, spec = report.meta, report.stats, report.meta.spec
    town = meta.about.source.map
    sub = f"{spec.width}×{spec.height}, {town}, {meta.created}, {meta.software}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(report.title)}</title><style>{STYLE}</style></head><body>
<h1>{escape(report.title)}</h1>
<p class="sub">{escape(sub)}</p>
<div class="pair">{_figure(report.pair[0], "simulator")}{_figure(report.pair[1], "realized")}</div>
<div class="cards">{_cards(stats)}</div>
<h2>Latency of each stage</h2>
{_stages(stats)}
<h2>Age of each frame when it was delivered</h2>
{latency_plot(report.ages_ms)}
<h2>Moments of the drive with their labels</h2>
{_image(report.sheet, "rows of rendered and realized pictures with their labels")}
<h2>What ran where</h2>
{_table((name, escape(str(value))) for name, value in _facts(report))}
</body></html>
"""


def latency_plot(ages_ms: Sequence[float]) -> str:
    """Return an SVG of milliseconds over frames, with the median and the 95th percentile."""
    if not ages_ms:
        return "<p>No frame was delivered.</p>"
    ages = np.asarray(ages_ms, np.float64)
    left, right, top, bottom = 56, 96, 14, 30
    ceiling = _round_up(float(ages.max()) * 1.05)
    across = (PLOT_W - left - right) / max(1, len(ages) - 1)
    down = (PLOT_H - top - bottom) / ceiling

    def y(value: float) -> float:
        return PLOT_H - bottom - value * down

    parts = [
        f'<svg viewBox="0 0 {PLOT_W} {PLOT_H}" role="img" font-size="12" fill="#6e747c" '
        'font-family="system-ui, sans-serif" aria-label="age of each frame in milliseconds">'
    ]
    for tick in np.linspace(0, ceiling, 5):
        parts.append(
            f'<line x1="{left}" x2="{PLOT_W - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            f'stroke="#eceef0"/><text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">'
            f"{tick:.0f}</text>"
        )
    points = " ".join(f"{left + n * across:.1f},{y(age):.1f}" for n, age in enumerate(ages))
    parts.append(f'<polyline points="{points}" fill="none" stroke="#2f6fb3" stroke-width="1.2"/>')
    marks = [(float(np.percentile(ages, share)), share) for share in (50, 95)]
    lifted = min(0.0, y(marks[1][0]) - y(marks[0][0]) + 14)  # keep the two words apart
    for (value, share), lift in zip(marks, (0.0, -max(0.0, lifted)), strict=True):
        name = f"p{share} {value:.0f} ms"
        parts.append(
            f'<line x1="{left}" x2="{PLOT_W - right}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'stroke="#d0672f" stroke-dasharray="5 4"/><text x="{PLOT_W - right + 8}" '
            f'y="{y(value) + 4 + lift:.1f}" fill="#d0672f">{name}</text>'
        )
    parts.append(
        f'<text x="{left}" y="{PLOT_H - 9}">frame 0</text><text x="{PLOT_W - right}" '
        f'y="{PLOT_H - 9}" text-anchor="end">{len(ages) - 1}</text>'
        f'<text x="{left - 8}" y="{PLOT_H - 9}" text-anchor="end">ms</text></svg>'
    )
    return "".join(parts)


def _round_up(value: float) -> float:
    """Return the next number of the form 1, 2, 4 or 8 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(max(value, 1e-3)))
    return float(next(power * step for step in (1, 2, 4, 8, 10) if power * step >= value))


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
            cells = "".join(f'<td class="n">{value:.1f}</td>' for value in figures)
            rows.append(f"<tr><td>{meaning}</td>{cells}<td class='n'>{latency.count}</td></tr>")
    head = "".join(f'<th class="n">{name}</th>' for name in ("p50 ms", "p95 ms", "p99 ms", "count"))
    return f"<table><tr><th>stage</th>{head}</tr>{''.join(rows)}</table>"


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


def _table(rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<table>{body}</table>"


def _figure(picture: Picture, caption: str) -> str:
    return f"<figure>{_image(picture, caption)}<figcaption>{caption}</figcaption></figure>"


def _image(picture: Picture, description: str) -> str:
    encoded = base64.b64encode(jpeg_bytes(picture, quality=88)).decode()
    return f'<img alt="{description}" src="data:image/jpeg;base64,{encoded}">'
