"""Writes picture files from a pool of threads; the first failure ends the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.written import WrittenFiles
from realmaster_live.errors import RecordingError
from realmaster_live.system.pictures import encode
from realmaster_live.system.png import encode_png

QUEUED = 8  # files that may wait to be written, for each thread


class PictureFiles:
    """Writes pictures and single-channel maps in the format of the path's suffix.

    Args:
        written: the files that the run has written; each path is claimed there.
        threads: number of threads that encode. quality: quality of JPEG files, 1 to 100.
    """

    def __init__(self, written: WrittenFiles, *, threads: int = 2, quality: int = 95) -> None:
        self._written = written
        self._pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="rm-pictures")
        self._queued = QUEUED * max(1, threads)
        self._waiting: deque[Future[None]] = deque()
        self._quality = quality
        self._made: set[Path] = set()

    @classmethod
    def of(cls, folder: ExportFolder, options: ExportOptions) -> Self:
        """Return the writer for an export with these options."""
        return cls(folder.written, threads=options.threads, quality=options.quality)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def write(self, path: Path, picture: NDArray[Any]) -> None:
        """Queue a picture (H, W, 3) uint8 sRGB, or a map (H, W) uint8 or uint16, to be written.

        A PNG may have a fourth channel, its opacity.

        Raises:
            RecordingError: an earlier file could not be written, or this one was written before.
        """
        if path.suffix == ".png":
            self._submit(path, lambda: encode_png(picture))
        else:
            self._submit(path, lambda: encode(picture, path.suffix, self._quality))

    def write_text(self, path: Path, text: str) -> None:
        """Queue a small file to be written.

        Raises:
            RecordingError: an earlier file could not be written, or this one was written before.
        """
        self.write_bytes(path, text.encode())

    def write_bytes(self, path: Path, data: bytes) -> None:
        """Queue a file to be written.

        Raises:
            RecordingError: an earlier file could not be written, or this one was written before.
        """
        self._submit(path, lambda: data)

    def _submit(self, path: Path, content: Callable[[], bytes]) -> None:
        self._written.claim(path)
        while len(self._waiting) >= self._queued:
            self._waiting.popleft().result()
        if path.parent not in self._made:
            _make(path.parent)
            self._made.add(path.parent)
        self._waiting.append(self._pool.submit(_write, path, content))

    def wait(self) -> None:
        """Return when everything is written.

        Raises:
            RecordingError: a picture could not be written.
        """
        while self._waiting:
            self._waiting.popleft().result()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _write(path: Path, content: Callable[[], bytes]) -> None:
    data = content()
    try:
        path.write_bytes(data)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> RecordingError:
    return RecordingError(
        f"expected to write {path}, got {error.strerror}: free some disk space or export elsewhere"
    )
