"""Picture files, read and written through bytes.

OpenCV opens paths by itself, fails on names that are not UTF-8, and answers None for whatever it
cannot read. Here Python opens the file, and an error says what lies there instead of a picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.optional import require
from realmaster_live.system.contents import classify_content

cv2 = require("cv2", extra="live")

Channels = Literal["rgb", "grey", "as stored"]
_FLAGS = {
    "rgb": cv2.IMREAD_COLOR,
    "grey": cv2.IMREAD_GRAYSCALE,
    "as stored": cv2.IMREAD_UNCHANGED,
}


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return a picture file as (H, W, 3) RGB.

    Raises:
        PairError: it is missing, no regular file, or no picture.
    """
    return np.asarray(_read(path, "rgb"), np.uint8)


def read_map(path: Path, channels: Literal["grey", "as stored"] = "as stored") -> NDArray[Any]:
    """Return a picture file as (H, W) grey levels, or with the type and channels that it has.

    Several channels come in OpenCV's order, blue first.

    Raises:
        PairError: it is missing, no regular file, or no picture.
    """
    return _read(path, channels)


def write_picture(path: Path, picture: NDArray[Any], *, quality: int = 95) -> None:
    """Write a picture (H, W, 3) RGB or a map (H, W); the suffix of `path` names the format.

    Raises:
        PairError: it cannot be written.
    """
    data = encode(picture, path.suffix, quality)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise PairError(
            f"expected to write {path}, got {error.strerror}: free some disk space or write "
            "elsewhere"
        ) from error


def encode(picture: NDArray[Any], suffix: str, quality: int = 95) -> bytes:
    """Return a picture (H, W, 3) RGB or a map (H, W) as a .jpg or .png file."""
    is_picture = picture.ndim == 3
    if suffix in (".jpg", ".jpeg"):
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    else:
        options = [cv2.IMWRITE_PNG_COMPRESSION, 1]
        if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # OpenCV 4.11: trying all filters costs most
            fixed = cv2.IMWRITE_PNG_FILTER_SUB if is_picture else cv2.IMWRITE_PNG_FILTER_NONE
            options += [cv2.IMWRITE_PNG_FILTER, fixed]
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if is_picture else picture
    done, data = cv2.imencode(suffix, bgr, options)
    assert done, f"{suffix} of {picture.shape} {picture.dtype}"
    return bytes(data)


def _read(path: Path, channels: Channels) -> NDArray[Any]:
    if not path.is_file():  # a FIFO would wait forever
        got = "something that is no regular file" if path.exists() else "no such file"
        raise _unreadable(path, got, "restore the file or leave it out")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, str(error.strerror), "make the file readable") from error
    picture = None
    if data:
        try:
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS[channels])
        except cv2.error:  # such as more pixels than OpenCV allows
            picture = None
    if picture is None:
        raise _unreadable(path, *classify_content(data))
    if channels == "rgb":
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return np.asarray(picture)


def _unreadable(path: Path, got: str, remedy: str) -> PairError:
    return PairError(f"expected a picture in {path}, got {got}: {remedy}")
