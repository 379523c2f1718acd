"""How many connections a server holds: idle ones make room for new ones."""

from __future__ import annotations

import sys
from collections.abc import Callable

MOST_CALLERS = 128
MOST_SUBSCRIBERS = 256
SPARE_FILES = 64  # descriptors kept for the server's own files


class ConnectionLimit:
    """Counts connections; one that has not asked for anything yet counts as idle."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._idle: dict[int, Callable[[], None]] = {}  # oldest first
        self._busy: set[int] = set()

    def admit(self, connection: int, hang_up: Callable[[], None]) -> bool:
        """Take in a connection; the longest idle one is hung up on where there is no room.

        Returns False where all are busy.
        """
        if len(self._idle) + len(self._busy) >= self.most:
            if not self._idle:
                return False
            self._idle.pop(next(iter(self._idle)))()
        self._idle[connection] = hang_up
        return True

    def keep(self, connection: int) -> None:
        """Note that a connection asked for something."""
        if self._idle.pop(connection, None) is not None:
            self._busy.add(connection)

    def leave(self, connection: int) -> None:
        """Forget a connection that ended."""
        self._idle.pop(connection, None)
        self._busy.discard(connection)


def affordable(most: int) -> int:
    """Return how many connections of `most` this process has file descriptors for."""
    if sys.platform == "win32":
        return most
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return most
    share = most / (MOST_CALLERS + MOST_SUBSCRIBERS)
    return max(4, min(most, int((files - SPARE_FILES) * share)))
