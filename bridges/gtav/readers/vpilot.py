"""VPilot's `dataset.pz`: a gzip of pickles, one dictionary a frame, as the first DeepGTAV sends it.

`frame` holds the picture's rows, B G R, padded to 4 bytes; their width is not stored. The other
keys are what was requested of the harness: `location` and so on; there is no camera pose.

A pickle is a program. Here only dictionaries, lists, strings, bytes and numbers come out of one;
whatever names a class is refused. A file that was cut or damaged is read up to the damage.
"""

from __future__ import annotations

import gzip
import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.camera import intrinsics_from_vertical_fov
from realmaster_live.bridges.gtav.readers.drive import Drive, ReadOptions, View
from realmaster_live.errors import PairError
from realmaster_live.system.contents import classify_file

log = logging.getLogger(__name__)

SUFFIX = ".pz"
VFOV_DEG = 60.0  # of the first DeepGTAV's camera
PADDING_BYTES = 16  # zeros that no frame ends with
FPS = 10.0  # DeepGTAV's default rate
MOST_BYTES = 128 * 2**20  # of one frame's dictionary, unpacked
# what a harness sends: its own default, those of its examples, and usual screens
USUAL_SIZES = (
    (320, 160), (227, 227), (350, 205), (640, 360), (640, 480), (650, 418), (800, 600),
    (1024, 768), (1280, 720), (1280, 800), (1600, 900), (1920, 1080), (2560, 1440), (3840, 2160),
)  # fmt: skip


def find(folder: Path) -> list[Path]:
    """Return the data sets in a folder."""
    shown = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in shown if path.suffix == SUFFIX and path.is_file())


def home(path: Path) -> Path:
    """Return the file itself."""
    return path


def open_drive(path: Path, options: ReadOptions) -> Drive:
    """Return the drive of a file; it is read through once to count its frames."""
    state = path.stat()
    length, frames = _measured(path, state.st_mtime_ns, state.st_size)
    size = options.size or likely_size(length, path, hint=options.size_hint)
    width, height = size
    if _stride(width) * height != length:
        raise PairError(
            f"expected {_stride(width) * height} bytes a frame for {width}x{height} in {path}, got "
            f"{length}: give the size that it was recorded with"
        )
    optics = intrinsics_from_vertical_fov(width, height, options.vfov_deg or VFOV_DEG)

    def views(wanted: Sequence[int]) -> Iterator[View]:
        chosen, last = set(wanted), max(wanted, default=-1)
        for index, pixels in enumerate(_pictures(path)):
            if index in chosen:
                rows = np.frombuffer(pixels, np.uint8)
                yield View(image=unpadded(rows, size), intrinsics=optics, cam_to_world=np.eye(4))
            if index >= last:
                return

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
    try:
        for pixels in _pictures(path):
            if frames and len(pixels) != length:
                raise PairError(
                    f"expected frames of {length} bytes in {path}, got {len(pixels)} in frame "
                    f"{frames}: split the file where the size changes"
                )
            length, frames = len(pixels), frames + 1
    except _Damage as damage:
        if not frames:
            raise PairError(f"{damage}: {damage.remedy}") from damage
        log.warning("%s after %d frames: the file is read up to there", damage, frames)
    if not frames:
        raise PairError(f"expected frames in {path}, got none: record it again")
    with path.open("rb") as file:
        file.seek(-PADDING_BYTES, os.SEEK_END)
        tail = file.read()
    if not any(tail):  # gzip takes zeros after a frame for padding
        log.warning("%s ends in zeros after %d frames: frames may be lost", path, frames)
    return length, frames


def likely_size(
    length: int, path: Path, hint: tuple[int, int] | None = None
) -> tuple[int, int]:  # width, height
    """Return the size whose padded rows have `length` bytes: the hint, else a usual size."""
    if hint is not None and _stride(hint[0]) * hint[1] == length:
        return hint
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


class _Damage(Exception):
    """A file's frames cannot be read from here on; `remedy` is what to do."""

    def __init__(self, problem: str, remedy: str = "record it again") -> None:
        super().__init__(problem)
        self.remedy = remedy


def _pictures(path: Path) -> Iterator[bytes]:
    """Yield the pixels of a file's frames; _Damage where it is cut short or broken.

    Raises:
        PairError: the file names a class.
    """
    with gzip.open(path) as file:
        source = Bounded(file)
        while (frame := _next(source, path)) is not None:
            pixels = frame.get("frame") if isinstance(frame, dict) else frame
            if not isinstance(pixels, bytes):
                raise _Damage(
                    f"expected a dictionary a frame, with a picture's bytes under 'frame', in "
                    f"{path}, got {type(pixels).__name__}"
                )
            yield pixels


def _next(source: Bounded, path: Path) -> Any:
    """Return what the next pickle makes; None at the end."""
    try:
        return Plain(source).load() if source.begin() else None
    except ForeignClass as error:
        raise PairError(f"expected plain values in {path}, got {error}: record it again") from error
    except Exception as error:  # a damaged pickle is a program that may fail in any way
        got, remedy = classify_file(path, f"{type(error).__name__}, {error}", "record it again")
        raise _Damage(f"expected a gzip of pickled frames in {path}, got {got}", remedy) from error


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


class ForeignClass(pickle.UnpicklingError):
    """A pickle names a class or a function."""


class Plain(pickle._Unpickler):
    """An unpickler that makes no object of any class.

    Python's own, not the one in C: that one lets a damaged file ask for any amount of memory.
    """

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse a class or function by its name."""
        raise ForeignClass(f"the class {module}.{name}, which is not loaded")
