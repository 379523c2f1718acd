"""Bytes from one socket to another within the kernel, where nothing copies them."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

CAPACITY = 1 << 20  # bytes: what Linux lets any user's pipe hold


class KernelPipe:
    """A pipe that is filled from a socket and emptied into another by Linux's splice.

    Attributes:
        held: bytes that are in it.
    """

    def __init__(self) -> None:
        import fcntl  # which not every system has

        self.held = 0
        self._outlet, self._inlet = os.pipe()
        with suppress(OSError):  # this user has many such pipes already
            fcntl.fcntl(self._inlet, fcntl.F_SETPIPE_SZ, CAPACITY)

    def put(self, data: memoryview) -> None:
        """Put a few bytes into the empty pipe."""
        self.held += os.write(self._inlet, data)

    def fill(self, sock: socket.socket, most: int) -> int:
        """Move what the socket has, at most so many bytes; 0 when its peer has hung up.

        Waits for the first of them. There is room if the pipe holds no more than `put` gave.
        """
        count = os.splice(sock.fileno(), self._inlet, min(most, CAPACITY))
        self.held += count
        return count

    def empty_into(self, sock: socket.socket) -> None:
        """Move all to a socket; BlockingIOError where one that never waits takes no more."""
        while self.held:
            self.held -= os.splice(self._outlet, sock.fileno(), self.held)

    def read(self) -> bytes:
        """Take all out of the pipe."""
        data = b""
        while self.held:
            part = os.read(self._outlet, self.held)
            self.held -= len(part)
            data += part
        return data

    def close(self) -> None:
        """Close both ends; may be called twice."""
        ends, self._outlet, self._inlet = (self._outlet, self._inlet), -1, -1
        for end in ends:
            if end >= 0:
                os.close(end)


def open_pipe() -> KernelPipe | None:
    """Return a pipe; None where the system has no splice, or no descriptor is left."""
    if hasattr(os, "splice"):
        with suppress(OSError):
            return KernelPipe()
    return None
