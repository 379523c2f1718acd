"""Folders of pictures: in which order, and each as an array."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.optional import require

cv2 = require("cv2", extra="live")

PICTURES = (".png", ".jpg", ".jpeg")


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder, in the order of the numbers in their names."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    return sorted(found, key=lambda path: _natural(path.name))


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return a picture file, (H, W, 3) RGB; PairError where it is damaged."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if bgr is None:
        raise PairError(
            f"expected a picture in {path}, got other bytes: restore the file or leave it out"
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which frame 9 comes before frame 10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
