"""The pages of GTAVisionExport's TIFFs, identified by their content, not by their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.readers.files import damaged, of_size
from realmaster_live.errors import PairError
from realmaster_live.optional import require
from realmaster_live.system.inside import check_regular


@dataclass(frozen=True, kw_only=True)
class Pages:
    """What one frame's TIFFs hold.

    Attributes:
        colour: (H, W, 3) uint8 RGB.
        depth: (H, W) float32, the reverse-Z buffer; None without such a page.
        stencil: (H, W) uint8; None without.
    """

    colour: NDArray[np.uint8]
    depth: NDArray[np.float32] | None
    stencil: NDArray[np.uint8] | None


def read_pages(paths: Sequence[Path], size: tuple[int, int] | None) -> Pages:
    """Return the first page of each kind in some files, all of one size.

    Raises:
        PairError: a file is damaged, or there is no colour.
    """
    tifffile = require("tifffile", extra="gta")
    require("imagecodecs", extra="gta")  # for LZW and JPEG
    found: dict[str, NDArray[Any]] = {}
    for path in paths:
        try:
            check_regular(path, error=PairError)
            with tifffile.TiffFile(path) as file:
                arrays = [page.asarray() for page in file.pages]
        except (OSError, ValueError, RuntimeError, tifffile.TiffFileError) as error:
            raise damaged(path, "a TIFF", str(error)) from error
        for array in arrays:
            kind = _kind(array)
            if kind:
                size = size or (array.shape[1], array.shape[0])
                found.setdefault(kind, of_size(array, path, size))
    if "colour" not in found:
        raise damaged(paths[0], "a page of three or four channels of uint8", "none")
    colour = np.ascontiguousarray(found["colour"][..., :3])
    return Pages(colour=colour, depth=found.get("depth"), stencil=found.get("stencil"))


def _kind(array: NDArray[Any]) -> str:
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] in (3, 4):
        return "colour"
    if array.dtype == np.float32 and array.ndim == 2:
        return "depth"
    return "stencil" if array.dtype == np.uint8 and array.ndim == 2 else ""
