"""Picture files, encoded beside the thread that decodes; the first failure of any ends the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from realmaster_live.datasets.folder import ExportOptions
from realmaster_live.errors import RecordingError
from realmaster_live.system.pictures import encode

AHEAD = 8  # pictures a thread that wait to be written


class PictureFiles:
    """Writes pictures and grey maps; the suffix of a path tells the format.

    Args:
        threads: that encode. quality: of JPEG files, 1 to 100.
    """

    def __init__(self, *, threads: int = 2, quality: int = 95) -> None:
        self._pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="rm-pictures")
        self._ahead = AHEAD * max(1, threads)
        self._waiting: deque[Future[None]] = deque()
        self._quality = quality
        self._made: set[Path] = set()

    @classmethod
    def of(cls, options: ExportOptions) -> Self:
        """Return the writer that an export's options ask for."""
        return cls(threads=options.threads, quality=options.quality)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def write(self, path: Path, picture: NDArray[Any]) -> None:
        """Write (H, W, 3) uint8 sRGB or a (H, W) uint8 or uint16 map, soon; folders are made.

        Raises:
            RecordingError: this or an earlier picture could not be written.
        """
        self._soon(path, lambda: encode(picture, path.suffix, self._quality))

    def write_text(self, path: Path, text: str) -> None:
        """Write a small file, soon; folders are made.

        Raises:
            RecordingError: this or an earlier file could not be written.
        """
        self._soon(path, text.encode)

    def _soon(self, path: Path, content: Callable[[], bytes]) -> None:
        while len(self._waiting) >= self._ahead:
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
