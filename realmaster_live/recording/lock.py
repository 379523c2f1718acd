"""The lock of a recording: held by the process that writes it, released when that ends."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from typing import IO

from realmaster_live.errors import RecordingError
from realmaster_live.system.inside import SafeFolder

LOCK = ".lock"
HAS_FLOCK = importlib.util.find_spec("fcntl") is not None  # elsewhere open files cannot be replaced


class Lock:
    """An exclusive lock on a recording, from construction until `release`.

    Raises:
        RecordingError: another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = SafeFolder(folder, error=RecordingError).target(LOCK)
        self._file: IO[bytes] | None = self._path.open("ab")
        if not _try_lock(self._file):
            self._file.close()
            raise RecordingError(
                f"expected a recording that nobody writes to, got {folder}, which another process "
                "is recording or repairing: wait until it ends"
            )

    def release(self) -> None:
        """Release the lock; may be called twice."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


def is_locked(folder: Path) -> bool:
    """Return whether a living process writes to a recording."""
    try:
        with SafeFolder(folder, error=RecordingError).open(LOCK) as file:
            return not _try_lock(file)
    except (OSError, RecordingError):
        return False


def _try_lock(file: IO[bytes]) -> bool:
    """Try to lock an open file; return whether that succeeded."""
    if not HAS_FLOCK:
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
