"""Reports: one HTML file that needs nothing else, and tables of plain text."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import RealMasterError, reason

STYLE = """
body { font: 15px/1.55 system-ui, sans-serif; color: #1c2026; background: #fafafa;
  max-width: 76rem; margin: 0 auto; padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.8rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.note { color: #5a616b; max-width: 86ch; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { text-align: right; padding: .3rem .9rem; border-bottom: 1px solid #e3e5e8; }
td:first-child, th:first-child { text-align: left; padding-left: 0; }
.better { color: #21793f; } .worse { color: #b3261e; }
svg { width: 100%; height: auto; background: #fff; border: 1px solid #e3e5e8; border-radius: 6px; }
video, img { width: 100%; display: block; border-radius: 4px; }
"""


def page(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """Return a page as HTML; its style and script are added to those of all pages."""
    ending = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head>\n"
        f"<body>\n{body}\n{ending}</body></html>\n"
    )


def write_page(path: Path, text: str, *, error: type[RealMasterError]) -> None:
    """Write a page; raises `error` where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as fault:
        raise error(
            f"expected to write {path}, got {reason(fault)}: free some disk space or choose "
            "another place"
        ) from fault


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Return a table whose cells are HTML."""
    lines = ["".join(f"<th>{cell}</th>" for cell in head)] if head else []
    lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def embedded(picture: NDArray[np.uint8], name: str, *, quality: int = 85) -> str:
    """Return a picture (H, W, 3) RGB as an HTML image that holds it."""
    from realmaster_live.system.pictures import encode

    url = data_url(encode(picture, ".jpg", quality), "image/jpeg")
    return f'<img alt="{escape(name)}" src="{url}">'


def data_url(content: bytes, kind: str) -> str:
    """Return the URL that holds a file of a media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def aligned(rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Return the lines of a table of plain text: its first `left` columns begin at one place.

    The others end at one; rows may end early.
    """
    count = max(map(len, rows), default=0)
    widths = [max(len(row[at]) for row in rows if at < len(row)) for at in range(count)]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=False)
        sides = [str.ljust if at < left else str.rjust for at in range(len(row))]
        lines.append(
            "  ".join(
                side(cell, width) for side, (cell, width) in zip(sides, cells, strict=True)
            ).rstrip()
        )
    return lines
