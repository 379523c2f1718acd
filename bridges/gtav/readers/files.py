"""Single files of a recording as arrays; the error of a damaged one names it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from realmaster_live.errors import PairError
from realmaster_live.frames.chunk import LABEL_DTYPES
from realmaster_live.frames.geometry import skew_of
from realmaster_live.system.contents import classify_file
from realmaster_live.system.inside import open_regular
from realmaster_live.system.pictures import read_map, read_picture
from realmaster_live.system.texts import read_object, read_text

log = logging.getLogger(__name__)
Size = tuple[int, int]  # width, height
SKEW = 1e-3  # tolerated between a camera's axes, which are written with few digits
REMEDY = "restore the file or leave it out"
PICTURES = (".png", ".jpg", ".jpeg", ".bmp")


def read_image(path: Path, size: Size | None = None) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) RGB, of a size where one is given."""
    return of_size(read_picture(path), path, size)


def read_plain(path: Path, dtype: DTypeLike, size: Size) -> NDArray[Any]:
    """Return a picture file of one channel (H, W) as it is, which must have that type."""
    image = read_map(path)
    if image.dtype != dtype or image.ndim != 2:
        expected = f"one channel of {np.dtype(dtype)}"
        raise damaged(path, expected, f"{image.dtype} {image.shape}")
    return of_size(image, path, size)


def read_raw(path: Path, dtype: DTypeLike, size: Size) -> NDArray[Any]:
    """Return a file of bare numbers (H, W), row by row."""
    width, height = size
    with open_regular(path, error=PairError) as file:
        data = np.fromfile(file, dtype)
    if data.size != width * height:
        wanted = f"{width * height} numbers of {np.dtype(dtype)} ({width}x{height})"
        raise damaged(path, wanted, f"{data.size}")
    return data.reshape(height, width)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object; bare Infinity and NaN are numbers in it."""
    return read_object(path, what="a JSON object", remedy=REMEDY, error=PairError)


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file."""
    return read_text(path, what="a text file", remedy=REMEDY, error=PairError).splitlines()


def read_numbers(text: Iterable[Any], shape: tuple[int, ...], path: Path) -> NDArray[np.float64]:
    """Return finite numbers of a shape that a file holds."""
    try:
        numbers = np.asarray(list(text), np.float64)
        if np.isfinite(numbers).all():
            return numbers.reshape(shape)
        got = "some that are not finite"
    except (TypeError, ValueError, OverflowError) as error:
        got = str(error)
    raise damaged(path, f"numbers of shape {shape}", got)


def read_view(text: Iterable[Any], path: Path) -> NDArray[np.float64]:
    """Return a view matrix (4, 4), which takes points, as columns, from the world to a camera."""
    view = read_numbers(text, (4, 4), path)
    if skew_of(view[:3, :3]) > SKEW or not np.allclose(view[3], [0, 0, 0, 1]):
        raise damaged(path, "a view matrix that turns and moves, row by row", f"{view.tolist()}")
    return view


def with_focal(optics: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    """Return K (3, 3), whose focal lengths must be above 0."""
    if min(optics[0, 0], optics[1, 1]) <= 0:
        raise damaged(path, "focal lengths above 0", f"{optics[0, 0]:g} and {optics[1, 1]:g}")
    return optics


def of_size(array: NDArray[Any], path: Path, size: Size | None) -> NDArray[Any]:
    """Return an array (H, W, ...), which must be of a size where one is given."""
    height, width = array.shape[:2]
    if size is not None and (width, height) != size:
        raise damaged(path, f"{size[0]}x{size[1]} pixels as its neighbours", f"{width}x{height}")
    return array


def damaged(path: Path, expected: str, got: str) -> PairError:
    """Return the error of a file that is not what it should be."""
    got, remedy = classify_file(path, got, REMEDY)
    return PairError(f"expected {expected} in {path}, got {got}: {remedy}")


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Return paths by the numbers in their names, 9 before 10, without those that are hidden."""
    shown = (path for path in paths if not path.name.startswith("."))
    return sorted(shown, key=lambda path: [*map(_sort_key, re.split(r"([0-9]+)", path.name))])


def _sort_key(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdecimal() else (-1, part)


def numbers_of(stems: Iterable[str]) -> tuple[int, ...]:
    """Return the last number in each name where they ascend, else 0, 1, 2 and so on."""
    found = [re.findall(r"[0-9]+", stem) for stem in stems]
    numbers = tuple(int(each[-1]) if each else -1 for each in found)
    rising = all(a < b for a, b in pairwise(numbers))
    return numbers if rising and numbers and numbers[0] >= 0 else tuple(range(len(numbers)))


def whole_labels(
    files: Mapping[str, list[Path]],  # label -> one file a frame
    requested: tuple[str, ...] | None,
    where: Path,
) -> dict[str, list[Path]]:
    """Return the labels that were options for and that every frame has; log what only some have."""
    whole = {}
    for name in LABEL_DTYPES:
        if name not in files or (requested is not None and name not in requested):
            continue
        missing = [path for path in files[name] if not path.is_file()]
        if not missing:
            whole[name] = files[name]
        elif len(missing) < len(files[name]):
            log.warning(
                "%s of %d frames has no %s (such as %s): the label is left out of %s",
                len(missing), len(files[name]), name, missing[0].name, where,
            )  # fmt: skip
    return whole
