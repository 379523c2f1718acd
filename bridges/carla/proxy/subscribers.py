"""The clients that listen to a stream of the proxy, each with a bounded queue of its own."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from realmaster_live.bridges.carla.proxy.kernel_pipe import KernelPipe

log = logging.getLogger(__name__)
SEND_BUFFER = 8 << 20  # bytes: a 1280x720 image and then some
MOST_WAITING = 2  # messages a subscriber may lag behind
STALL_S = 0.5  # how long a message waits for a subscriber that lags, once, before it loses messages
LOOK_S = 0.5  # how often a silent connection is looked at


class _Part(NamedTuple):
    """What is left to send of a part of a message, and whether the message ends with it."""

    data: memoryview
    is_last: bool


class Subscriber:
    """Sends messages to one client; never holds its stream up for longer than STALL_S a message.

    What the socket takes at once is sent by whoever gives it, the rest by a thread of its own. A
    client that lags for so long is late: it loses messages, and nobody waits for it, until it has
    caught up, so that the system's buffer, a third of which is free then, takes more at once.

    Attributes:
        dropped: messages that it lost. stalls: how often the stream waited STALL_S for it.
    """

    def __init__(
        self, sock: socket.socket, name: str, on_gone: Callable[[Subscriber], None]
    ) -> None:
        self.dropped = self.stalls = 0
        self._sock, self._name, self._on_gone = sock, name, on_gone
        self._waiting: deque[_Part] = deque()
        self._messages = 0  # that were begun and are not sent yet
        self._sending = self._passing = self._late = self._gone = False
        self._changed = threading.Condition()
        self._patience_s = STALL_S  # that is left for the message that was begun last
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.setblocking(False)
        self._room = selectors.DefaultSelector()
        self._room.register(sock, selectors.EVENT_WRITE)
        threading.Thread(target=self._run, name=f"rm-send-{name}", daemon=True).start()

    def begin(self) -> bool:
        """Return whether the client gets the next message, whose parts `add` and `pass_on` give.

        It waits at most STALL_S where the client lags, then leaves the message out.
        """
        with self._changed:
            began = time.monotonic()
            if self._late and self._has_caught_up():
                self._late = False
            if not self._late and not self._changed.wait_for(self._has_room, STALL_S):
                self._note_late()
            if self._gone:
                return False
            if self._late:
                self.dropped += 1
                return False
            self._messages += 1
            self._patience_s = STALL_S - (time.monotonic() - began)
            return True

    def add(self, part: Any, *, is_last: bool) -> None:
        """Send a buffer of the message that was begun; it must not change until it is sent."""
        with self._changed:
            if self._gone:
                return
            left = memoryview(part)
            if not self._waiting and not self._sending:
                left = self._sent_at_once(left)
            if len(left):
                self._waiting.append(_Part(left, is_last))
            elif is_last:
                self._messages -= 1
            self._changed.notify_all()

    def pass_on(self, pipe: KernelPipe, *, is_last: bool) -> None:
        """Send what a pipe holds of the message that was begun.

        What the client does not take stays in the pipe, for `add`: all of it where earlier parts
        wait, otherwise what is left when the message has waited for STALL_S, and then it is late.
        """
        with self._changed:
            if self._gone or self._waiting or self._sending:
                return
            self._sending = self._passing = True
        try:
            self._empty(pipe)
        except OSError as error:
            log.debug("%s went away: %r", self._name, error)
            self._gone = True
        finally:
            with self._changed:
                self._sending = self._passing = False
                if pipe.held and not self._gone:
                    self._note_late()
                elif is_last:
                    self._messages -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Hang up; may be called twice."""
        with self._changed:
            self._gone = True
            self._changed.notify_all()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _has_room(self) -> bool:
        return self._gone or self._messages < MOST_WAITING

    def _has_caught_up(self) -> bool:
        """Return whether all is sent and read so far that the next message would not wait again."""
        return not (self._gone or self._messages) and bool(self._room.select(0))

    def _note_late(self) -> None:
        self._late = True
        self.stalls += 1
        log.warning("%s lagged for %g s: it loses messages until it reads", self._name, STALL_S)

    def _empty(self, pipe: KernelPipe) -> None:
        """Send what the pipe holds, as far as the patience with this message goes."""
        while pipe.held:
            try:
                pipe.empty_into(self._sock)
            except BlockingIOError:
                began = time.monotonic()
                if self._patience_s <= 0 or not self._room.select(self._patience_s):
                    return
                self._patience_s -= time.monotonic() - began

    def _sent_at_once(self, data: memoryview) -> memoryview:
        """Send as much as the socket takes without waiting; return what is left."""
        try:
            while len(data):
                data = data[self._sock.send(data) :]
        except BlockingIOError:
            pass
        except OSError as error:
            log.debug("%s went away: %r", self._name, error)
            self._gone = True  # the thread sees it, and ends
        return data

    def _run(self) -> None:
        try:
            while (part := self._next()) is not None:
                data = part.data
                while len(data := self._sent_at_once(data)) and not self._gone:
                    self._room.select(LOOK_S)
                with self._changed:
                    self._sending = False
                    self._messages -= part.is_last
                    self._changed.notify_all()
                del part, data  # so that their memory is used again
        finally:
            self.close()
            with self._changed:  # whoever passes on must not find another connection at this number
                self._changed.wait_for(lambda: not self._passing)
            self._on_gone(self)
            self._room.close()
            self._sock.close()

    def _next(self) -> _Part | None:
        """Return the next part; None when the client has hung up, which is looked for too."""
        with self._changed:
            while not self._changed.wait_for(lambda: self._gone or self._waiting, LOOK_S):
                if self._has_hung_up():
                    return None
            if self._gone:
                return None
            self._sending = True
            return self._waiting.popleft()

    def _has_hung_up(self) -> bool:
        """Return whether the client closed its end; after the stream id it never sends anything."""
        try:
            return not self._sock.recv(64)
        except BlockingIOError:
            return False
        except OSError:
            return True
