"""Recordings that harnesses made of GTA-V, by layout: each module reads one.

A layout's module has `find(folder)`, which returns the paths of the drives directly in a folder;
`home(path)`, the folder or file that an `about.json` with facts about a drive may lie in or beside;
and `open_drive(path, options)`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from realmaster_live.bridges.gtav.readers.drive import Drive, ReadOptions
from realmaster_live.errors import PairError

LAYOUTS = {
    "presil": "image_2 beside depth or stencil (PreSIL)",
    "visionexport": "pictures with -depth.png or -stencil.png, or TIFFs (GTAVisionExport)",
    "sailvos": "images/*.bmp beside camera/*.yaml (SAIL-VOS 3D)",
    "viper": "img beside cls, inst or camera (VIPER)",
    "vpilot": "*.pz (VPilot)",
}
"""Layout -> the files that identify it."""

DEEPEST = 3  # levels of folders below the named one that are searched


class Layout(Protocol):
    """A module that reads one layout."""

    def find(self, folder: Path) -> list[Path]:
        """Return the drives directly in a folder."""

    def home(self, path: Path) -> Path:
        """Return where an `about.json` about a drive may lie."""

    def open_drive(self, path: Path, options: ReadOptions) -> Drive:
        """Return a drive; PairError where it cannot be read."""


def layout(name: str) -> Layout:
    """Return the module of a layout."""
    return cast(Layout, import_module(f"{__name__}.{name}"))


def drives_in(folder: Path) -> list[tuple[str, Path]]:  # layout, path
    """Return the drives directly in a folder; PairError where it may be of two layouts."""
    found = [(name, path) for name in LAYOUTS for path in layout(name).find(folder)]
    names = sorted({name for name, _ in found})
    if len(names) > 1:
        raise PairError(
            f"expected recordings of one layout in {folder}, got those of {' and '.join(names)}: "
            "move one of them to a folder of its own"
        )
    return found


def find_drives(folder: Path, deepest: int = DEEPEST) -> list[tuple[str, Path]]:
    """Return the drives in a folder or, where there is none, in the folders below."""
    found = drives_in(folder)
    if found or deepest < 1:
        return found
    below = sorted(child for child in folder.iterdir() if child.is_dir())
    return [
        drive
        for child in below
        if not child.name.startswith(".")
        for drive in find_drives(child, deepest - 1)
    ]
