"""Who listens to which stream, and how messages get to them. Lives on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections import deque
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

SEND_BUFFER = 8 << 20  # bytes: a 1280x720 image and then some
QUEUE_LIMIT = 2  # messages a subscriber may lag behind a world that waits for it
STALE_S = 10.0  # a subscriber that takes nothing for so long is given up
MOST_QUEUED = 400  # messages of a stream that is never dropped
ARRIVAL_S = 0.5  # how long a tick waits for a client that just asked for a stream


@dataclass(eq=False, slots=True)
class Message:
    """Bytes on their way; while `pending` is not 0 somebody still reads the data."""

    data: bytes | bytearray
    pending: int = 0


@dataclass(eq=False, slots=True)
class _Subscriber:
    sock: socket.socket
    queue: deque[Message] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    sending: bool = False
    gone: bool = False

    def lag(self) -> int:
        return len(self.queue) + self.sending

    def hang_up(self) -> None:
        """End the connection: only shut down, the event loop still waits on the socket."""
        self.gone = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


class StreamHub:
    """All streams of a server, by id."""

    def __init__(self) -> None:
        self.dropped = 0
        self._streams: dict[int, list[_Subscriber]] = {}
        self._expected: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Event()

    def open(self, stream: int) -> None:
        """Make a stream that clients may subscribe to."""
        self._streams[stream] = []

    def close(self, stream: int) -> None:
        """End a stream and hang up on its subscribers."""
        for subscriber in self._streams.pop(stream, []):
            subscriber.hang_up()

    def __contains__(self, stream: int) -> bool:
        return stream in self._streams

    def listened(self, stream: int) -> bool:
        """Return whether anybody subscribes to the stream."""
        return bool(self._streams.get(stream))

    def expect(self, stream: int) -> None:
        """Note that a client is about to subscribe."""
        if not self._streams.get(stream):
            self._expected[stream] = asyncio.get_running_loop().time() + ARRIVAL_S

    async def arrivals(self) -> None:
        """Wait a moment for the clients that asked for a stream and are still dialling."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            self._expected = {
                s: t for s, t in self._expected.items() if t > now and s in self._streams
            }
            if not self._expected:
                return
            await self._wait(max(self._expected.values()) - now)

    async def drained(self) -> None:
        """Wait until no subscriber lags; one that takes nothing any more is hung up on."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STALE_S
        while True:
            late = [s for every in self._streams.values() for s in every if s.lag() > QUEUE_LIMIT]
            if not late:
                return
            if loop.time() >= deadline:
                for subscriber in late:
                    log.warning("hung up on a subscriber that took nothing for %g s", STALE_S)
                    subscriber.hang_up()
                return
            await self._wait(deadline - loop.time())

    def publish(self, stream: int, message: Message, *, drop_if_busy: bool) -> None:
        """Send to every subscriber; one that is still busy misses it, if that is allowed."""
        for subscriber in self._streams.get(stream, []):
            if subscriber.gone:
                continue
            if drop_if_busy and subscriber.lag():
                self.dropped += 1
                continue
            if len(subscriber.queue) >= MOST_QUEUED:
                log.warning("hung up on a subscriber that is %d messages behind", MOST_QUEUED)
                subscriber.hang_up()
                continue
            message.pending += 1
            subscriber.queue.append(message)
            subscriber.wake.set()

    async def serve(self, listener: socket.socket) -> None:
        """Accept subscribers on a listening, non-blocking socket for ever."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    sock, _ = await loop.sock_accept(listener)
                except ConnectionError:
                    continue
                task = asyncio.create_task(self._subscriber(sock))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _subscriber(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            asked = b""
            while len(asked) < 4:
                part = await loop.sock_recv(sock, 4 - len(asked))
                if not part:
                    return
                asked += part
            (stream,) = struct.unpack("<I", asked)
            subscribers = self._streams.get(stream)
            if subscribers is None:
                # a client whose socket is closed here dials again at once, for ever: keep it idle
                log.info("a client asks for stream %d, which does not exist", stream)
                await _until_closed(sock)
                return
            await self._feed(sock, stream, subscribers)
        except OSError as error:
            log.debug("a subscriber went away: %r", error)
        finally:
            sock.close()

    async def _feed(self, sock: socket.socket, stream: int, subscribers: list[_Subscriber]) -> None:
        subscriber = _Subscriber(sock)
        subscribers.append(subscriber)
        self._expected.pop(stream, None)
        self._stir()
        pump = asyncio.create_task(self._pump(subscriber))
        try:
            await _until_closed(sock)
        finally:
            subscriber.gone = True
            subscribers.remove(subscriber)
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await pump
            for message in subscriber.queue:
                message.pending -= 1
            subscriber.queue.clear()
            self._stir()

    async def _pump(self, subscriber: _Subscriber) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not subscriber.queue:
                subscriber.wake.clear()
                await subscriber.wake.wait()
            message = subscriber.queue.popleft()
            subscriber.sending = True
            try:
                await loop.sock_sendall(subscriber.sock, message.data)
            finally:
                subscriber.sending = False
                message.pending -= 1
                self._stir()

    def _stir(self) -> None:
        self._moved.set()

    async def _wait(self, timeout_s: float) -> None:
        """Wait until something was sent or somebody came or went, at most so long."""
        self._moved.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), max(timeout_s, 0.001))


async def _until_closed(sock: socket.socket) -> None:
    """Return when the peer hangs up; subscribers never say anything after the stream id."""
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(sock, 64):
        pass
