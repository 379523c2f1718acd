"""Streams: their subscribers and the messages on their way. Runs on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import struct
from collections import deque
from dataclasses import dataclass, field

from realmaster_live.minitown.server.connections import (
    MOST_SUBSCRIBERS,
    ConnectionLimit,
    affordable,
)

log = logging.getLogger(__name__)

SEND_BUFFER = 8 << 20  # bytes: a 1280x720 image and then some
QUEUE_LIMIT = 2  # messages a subscriber may lag behind a world that waits for it
PATIENCE_S = 0.5  # how long ticks wait for a lagging subscriber, once, before it loses messages
MOST_QUEUED = 64  # messages that a subscriber of a world that does not wait may lag behind
RETRY_S = 0.2  # between attempts to accept while no descriptor is left
ARRIVAL_S = 2.0  # how long a tick waits for a client that has just requested a stream
DIAL_S = 5.0  # how long a client may take from asking for the state's stream to subscribing


@dataclass(eq=False, slots=True)
class Message:
    """Bytes to send; `pending` counts the subscribers that still read them."""

    data: bytes | bytearray
    pending: int = 0


@dataclass(eq=False, slots=True)
class _Subscriber:
    sock: socket.socket
    queue: deque[Message] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    sending: bool = False
    gone: bool = False
    late: bool = False  # no tick waits for it until it has caught up

    def lag(self) -> int:
        return len(self.queue) + self.sending

    def lags(self) -> bool:
        """Whether ticks are to wait for it."""
        return self.lag() > QUEUE_LIMIT and not self.late

    def hang_up(self) -> None:
        """End the connection: only shut down, the event loop still waits on the socket."""
        self.gone = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


class StreamHub:
    """All streams of a server, by id."""

    def __init__(self) -> None:
        self.dropped = 0  # messages that slow subscribers did not get
        self._limit = ConnectionLimit(affordable(MOST_SUBSCRIBERS))
        self._numbers = itertools.count(1)
        self._streams: dict[int, list[_Subscriber]] = {}
        self._expected: list[tuple[int, float]] = []  # streams with subscribers on their way
        self._kept: dict[int, tuple[float, Message | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

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
        """Return whether the stream has a subscriber."""
        return bool(self._streams.get(stream))

    def expect(self, stream: int) -> None:
        """Note that a client is about to subscribe."""
        self._expected.append((stream, asyncio.get_running_loop().time() + ARRIVAL_S))

    def keep(self, stream: int) -> None:
        """Keep the newest message from now on for a client that is about to subscribe.

        Without it a client that ticks at once would wait for a state that it never gets.
        """
        _, newest = self._kept.get(stream, (0.0, None))
        self._kept[stream] = asyncio.get_running_loop().time() + DIAL_S, newest

    async def arrivals(self) -> None:
        """Wait a moment for the clients that requested a stream and are still dialling."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            self._expected = [
                (stream, until)
                for stream, until in self._expected
                if until > now and stream in self._streams
            ]
            if not self._expected:
                return
            await self._wait(max(until for _, until in self._expected) - now)

    async def drained(self) -> None:
        """Wait until no subscriber lags, at most `PATIENCE_S`: then the lagging ones are late.

        A late subscriber loses messages, and no tick waits for it until it has caught up.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while True:
            lagging = [s for every in self._streams.values() for s in every if s.lags()]
            if not lagging:
                return
            if loop.time() >= deadline:
                for subscriber in lagging:
                    log.warning(
                        "a subscriber read nothing for %g s: it loses messages until it does",
                        PATIENCE_S,
                    )
                    subscriber.late = True
                return
            await self._wait(deadline - loop.time())

    def publish(self, stream: int, message: Message, *, drop_if_busy: bool) -> None:
        """Send to every subscriber; one that is still busy misses it, if that is allowed."""
        if stream in self._kept:
            until, _ = self._kept[stream]
            if asyncio.get_running_loop().time() < until:
                self._kept[stream] = until, message
            else:
                del self._kept[stream]
        for subscriber in self._streams.get(stream, []):
            if subscriber.gone:
                continue
            if subscriber.late and not subscriber.lag():
                subscriber.late = False
            busy = subscriber.lag() and (drop_if_busy or subscriber.late)
            if busy or len(subscriber.queue) >= MOST_QUEUED:
                self.dropped += 1
                continue
            _hand(subscriber, message)

    async def serve(self, listener: socket.socket) -> None:
        """Accept subscribers on a listening, non-blocking socket forever."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    sock, _ = await loop.sock_accept(listener)
                except ConnectionError:
                    continue
                except OSError as error:  # no descriptor is left
                    log.warning("a subscriber cannot be accepted now: %s", error)
                    await asyncio.sleep(RETRY_S)
                    continue
                task = asyncio.create_task(self._admitted(sock))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _admitted(self, sock: socket.socket) -> None:
        """Serve a subscriber if there is room for it."""
        number = next(self._numbers)

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

        if not self._limit.admit(number, hang_up):
            log.warning("refused a subscriber: %d others listen already", self._limit.most)
            sock.close()
            return
        try:
            await self._subscriber(sock, number)
        finally:
            self._limit.leave(number)

    async def _subscriber(self, sock: socket.socket, number: int) -> None:
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            request = b""
            while len(request) < 4:
                part = await loop.sock_recv(sock, 4 - len(request))
                if not part:
                    return
                request += part
            (stream,) = struct.unpack("<I", request)
            subscribers = self._streams.get(stream)
            if subscribers is None:
                # a client whose socket is closed here dials again at once, forever: keep it idle
                log.info("a client asks for stream %d, which does not exist", stream)
                await _until_closed(sock)
                return
            self._limit.keep(number)
            await self._feed(sock, stream, subscribers)
        except OSError as error:
            log.debug("a subscriber went away: %r", error)
        finally:
            sock.close()

    async def _feed(self, sock: socket.socket, stream: int, subscribers: list[_Subscriber]) -> None:
        subscriber = _Subscriber(sock)
        subscribers.append(subscriber)
        self._arrived(stream)
        _, newest = self._kept.pop(stream, (0.0, None))
        if newest is not None:
            _hand(subscriber, newest)
        self._notify()
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
            self._notify()

    def _arrived(self, stream: int) -> None:
        """Expect one subscriber less."""
        for entry in self._expected:
            if entry[0] == stream:
                self._expected.remove(entry)
                return

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
                self._notify()

    def _notify(self) -> None:
        self._changed.set()

    async def _wait(self, timeout_s: float) -> None:
        """Wait until a message was sent or a subscriber came or left, or until the timeout."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), max(timeout_s, 0.001))


def _hand(subscriber: _Subscriber, message: Message) -> None:
    message.pending += 1
    subscriber.queue.append(message)
    subscriber.wake.set()


async def _until_closed(sock: socket.socket) -> None:
    """Return when the peer hangs up; subscribers send nothing after the stream id."""
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(sock, 64):
        pass
