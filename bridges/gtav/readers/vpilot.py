"""VPilot's `dataset.pz`: a gzip of pickles, one dictionary a frame, as the first DeepGTAV sends it.

`frame` holds the picture's rows, B G R, padded to 4 bytes, and nothing says how wide they are. What
the harness was asked for lies beside it: `location` and so on; it tells no camera pose.

A pickle is a program. Here only dictionaries, lists, strings, bytes and numbers come out of one;
whatever names a class is refused.
"""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.camera import intrinsics_from_vertical_fov
from realmaster_live.bridges.gtav.readers.drive import Asked, Drive, View
from realmaster_live.errors import PairError

SUFFIX = ".pz"
VFOV_DEG = 60.0  # of the first DeepGTAV's camera
FPS = 10.0  # its rate where nobody asks for another
MOST_BYTES = 128 * 2**20  # of one frame's dictionary, unpacked
# what the harness is asked for: its own default, those of its examples, and usual screens
USUAL_SIZES = (
    (320, 160), (227, 227), (350, 205), (640, 360), (640, 480), (650, 418), (800, 600),
    (1024, 768), (1280, 720), (1280, 800), (1600, 900), (1920, 1080), (2560, 1440), (3840, 2160),
)  # fmt: skip


def find(folder: Path) -> list[Path]:
    """Return the data sets in a folder."""
    return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX and path.is_file())


def home(path: Path) -> Path:
    """Return the file itself."""
    return path


def open_drive(path: Path, asked: Asked) -> Drive:
    """Return the drive of a file; it is read through once to count its frames."""
    state = path.stat()
    length, frames = _measured(path, state.st_mtime_ns, state.st_size)
    size = asked.size or likely_size(length, path)
    width, height = size
    if _stride(width) * height != length:
        raise PairError(
            f"expected {_stride(width) * height} bytes a frame for {width}x{height} in {path}, got "
            f"{length}: give the size that it was recorded with"
        )
    optics = intrinsics_from_vertical_fov(width, height, asked.vfov_deg or VFOV_DEG)

    def views(wanted: Sequence[int]) -> Iterator[View]:
        chosen, last = set(wanted), max(wanted, default=-1)
        for index, told in enumerate(_dictionaries(path)):
            if index > last:
                return
            if index in chosen:
                rows = np.frombuffer(_pixels(told, path, index), np.uint8)
                yield View(image=unpadded(rows, size), intrinsics=optics, cam_to_world=np.eye(4))

    return Drive(
        name=path.stem,
        path=path,
        size=size,
        numbers=tuple(range(frames)),
        labels=(),
        fps=FPS,
        files=(path,),
        views=views,
    )


@lru_cache(maxsize=8)
def _measured(path: Path, written_ns: int, size_bytes: int) -> tuple[int, int]:
    """Return how long a frame is in bytes, and how many there are, of a file as it is now."""
    del written_ns, size_bytes
    length, frames = 0, 0
    for told in _dictionaries(path):
        found = len(_pixels(told, path, frames))
        if frames and found != length:
            raise PairError(
                f"expected frames of {length} bytes in {path}, got {found} in frame {frames}: "
                "split the file where the size changes"
            )
        length, frames = found, frames + 1
    if not frames:
        raise PairError(f"expected frames in {path}, got none: record it again")
    return length, frames


def likely_size(length: int, path: Path) -> tuple[int, int]:
    """Return the one usual size whose padded rows have so many bytes."""
    found = [size for size in USUAL_SIZES if _stride(size[0]) * size[1] == length]
    if len(found) != 1:
        got = " or ".join(f"{w}x{h}" for w, h in found) or "no usual size of that length"
        raise PairError(
            f"expected the width and height of the frames of {path}, which it does not hold, got "
            f'{length} bytes a frame, {got}: give --size WxH, or write {{"size": [W, H]}} to '
            f"{path.with_suffix('.json').name} beside it"
        )
    return found[0]


def unpadded(rows: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return (H, W, 3) RGB of rows of B G R, padded to 4 bytes."""
    width, height = size
    pixels = rows.reshape(height, _stride(width))[:, : 3 * width].reshape(height, width, 3)
    return np.ascontiguousarray(pixels[..., ::-1])


def _stride(width: int) -> int:
    return (3 * width + 3) // 4 * 4


def _pixels(told: Mapping[str, Any], path: Path, index: int) -> bytes:
    pixels = told.get("frame")
    if not isinstance(pixels, bytes):
        raise PairError(
            f"expected the bytes of a picture under 'frame' of frame {index} of {path}, got "
            f"{type(pixels).__name__}: record it again"
        )
    return pixels


def _dictionaries(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield what is pickled in a file."""
    with gzip.open(path) as file:
        source = Bounded(file)
        while (told := _next(source, path)) is not None:
            if not isinstance(told, dict):
                raise PairError(
                    f"expected a dictionary a frame in {path}, got {type(told).__name__}: record "
                    "it again"
                )
            yield told


def _next(source: Bounded, path: Path) -> Any:
    """Return what the next pickle makes; None at the end."""
    try:
        return Plain(source).load() if source.begin() else None
    except Exception as error:  # a damaged pickle is a program that may fail in any way
        raise PairError(
            f"expected a gzip of pickled frames in {path}, got {type(error).__name__}, {error}: "
            "record it again, or cut it before the damage"
        ) from error


class Bounded:
    """Reads a stream pickle by pickle, each of a limited length."""

    def __init__(self, file: BinaryIO | gzip.GzipFile) -> None:
        self._file, self._left, self._first = file, 0, b""

    def begin(self) -> bool:
        """Begin the next pickle; return whether there is one."""
        self._first, self._left = self._file.read(1), MOST_BYTES
        return bool(self._first)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        if size < 0 or size > self._left:
            raise ValueError(f"a frame of more than {MOST_BYTES >> 20} MiB")
        first, self._first = self._first[:size], self._first[size:]
        data = first + self._file.read(size - len(first))
        if len(data) < size:
            raise EOFError("the end in the midst of a frame")
        return self._spent(data)

    def readline(self) -> bytes:
        """Return the next line; of a pickle's old opcodes only."""
        first, self._first = self._first, b""
        if first == b"\n":
            return self._spent(first)
        return self._spent(first + self._file.readline(self._left))

    def _spent(self, data: bytes) -> bytes:
        self._left -= len(data)
        return data


class Plain(pickle._Unpickler):
    """An unpickler that makes no object of any class.

    Python's own, not the one in C: that one lets a damaged file ask for any amount of memory.
    """

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse a class or function by its name."""
        raise pickle.UnpicklingError(f"the foreign class {module}.{name}, which is not loaded")
