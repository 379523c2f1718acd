"""An Arrow file written batch by batch, readable up to the last one if the process is killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from realmaster_live.recording.files import unwritable


class BatchFile:
    """Writes record batches; every failure to write raises RecordingError.

    Args:
        path: the file; an existing one is replaced.
        start: creates pyarrow's file or stream writer on the open file.
    """

    def __init__(self, path: Path, start: Callable[[BinaryIO], Any]) -> None:
        self._path = path
        self._closed = False
        try:
            self._file = path.open("wb")
            self._batches = start(self._file)
        except OSError as error:
            raise unwritable(path, error) from error

    def write(self, batch: Any) -> None:
        """Append a record batch and hand it to the operating system."""
        try:
            self._batches.write_batch(batch)
            self._file.flush()
        except OSError as error:
            raise unwritable(self._path, error) from error

    def close(self) -> None:
        """Finish the file; may be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            try:
                self._batches.close()
            finally:
                self._file.close()
        except OSError as error:
            raise unwritable(self._path, error) from error
