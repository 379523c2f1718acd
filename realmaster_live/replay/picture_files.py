"""Folders of pictures, and the order in which they are shown."""

from __future__ import annotations

import re
from pathlib import Path

PICTURES = (".png", ".jpg", ".jpeg")


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder, in the order of the numbers in their names.

    Hidden files are none, such as the `._0001.png` that macOS leaves beside `0001.png`.
    """
    found = (
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURES and not path.name.startswith(".") and not path.is_dir()
    )
    return sorted(found, key=lambda path: _natural(path.name))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which frame 9 comes before frame 10."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)]
