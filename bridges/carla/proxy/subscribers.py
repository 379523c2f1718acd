"""The clients that listen to a stream of the proxy, each with its own thread and bounded queue."""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

log = logging.getLogger(__name__)
Parts = Sequence[Any]  # buffers that are sent one after another
SEND_BUFFER = 8 << 20  # bytes: a 1280x720 image and then some
MOST_WAITING = 2  # messages a subscriber may lag behind
STALL_S = 0.5  # how long a stream waits for a subscriber that lags, once, before it loses messages
LOOK_S = 0.5  # how often a silent connection is looked at


class Subscriber:
    """Sends messages to one client; never holds its stream up for longer than STALL_S.

    A client that takes nothing for so long is late: it loses messages, and nobody waits for it,
    until it has caught up.
    """

    def __init__(
        self, sock: socket.socket, name: str, on_gone: Callable[[Subscriber], None]
    ) -> None:
        self.dropped = 0
        self._sock, self._name, self._on_gone = sock, name, on_gone
        self._waiting: deque[Parts] = deque()
        self._sending = self._late = self._gone = False
        self._changed = threading.Condition()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        threading.Thread(target=self._run, name=f"rm-send-{name}", daemon=True).start()

    def offer(self, parts: Parts) -> None:
        """Queue a message; waits at most STALL_S where the client lags, then drops it."""
        with self._changed:
            if self._late and not self._waiting and not self._sending:
                self._late = False
            if not self._late and not self._changed.wait_for(self._has_room, STALL_S):
                self._late = True
                log.warning(
                    "%s read nothing for %g s: it loses messages until it does",
                    self._name,
                    STALL_S,
                )
            if self._gone:
                return
            if self._late:
                self.dropped += 1
                return
            self._waiting.append(parts)
            self._changed.notify_all()

    def close(self) -> None:
        """Hang up; may be called twice."""
        with self._changed:
            self._gone = True
            self._changed.notify_all()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _has_room(self) -> bool:
        return self._gone or len(self._waiting) < MOST_WAITING

    def _run(self) -> None:
        try:
            while (parts := self._next()) is not None:
                for part in parts:
                    self._sock.sendall(part)
                with self._changed:
                    self._sending = False
                    self._changed.notify_all()
        except OSError as error:
            log.debug("%s went away: %r", self._name, error)
        finally:
            self.close()
            self._sock.close()
            self._on_gone(self)

    def _next(self) -> Parts | None:
        """Return the next message; None when the client has hung up, which is looked for too."""
        with self._changed:
            while not self._changed.wait_for(lambda: self._gone or self._waiting, LOOK_S):
                if self._has_hung_up():
                    return None
            if self._gone:
                return None
            self._sending = True
            parts = self._waiting.popleft()
            self._changed.notify_all()
            return parts

    def _has_hung_up(self) -> bool:
        """Return whether the client closed its end; after the stream id it never sends anything."""
        try:
            return not self._sock.recv(64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
