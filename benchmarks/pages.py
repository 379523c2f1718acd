"""Puts a table into a page of the docs, between two marks.

    python benchmarks/pages.py docs/evaluation.md weather weather/weather.md

replaces what stands between `<!-- weather: begin -->` and `<!-- weather: end -->`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def put(page: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between the marks of a name; SystemExit where they are not there."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition(begin)
    _, mark, tail = rest.partition(end)
    if not mark:
        raise SystemExit(f"expected {begin} and {end} in {page}, got none: add the two lines")
    page.write_text(head + "\n".join([begin, *lines, end]) + tail, encoding="utf-8")


def main() -> None:
    """Read the arguments and put a file into a page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("page", type=Path)
    parser.add_argument("name")
    parser.add_argument("table", type=Path)
    options = parser.parse_args()
    put(options.page, options.name, options.table.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    main()
