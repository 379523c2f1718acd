"""One stream of the server, read once and sent to every client that listens to it."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.carla.geometry import cam_to_world, unreal_matrix
from realmaster_live.bridges.carla.proxy.routes import Stream
from realmaster_live.bridges.carla.proxy.subscribers import SEND_BUFFER, Subscriber
from realmaster_live.bridges.carla.wire.streams import (
    HEAD,
    IMAGE,
    LENGTH,
    PIXELS_AT,
    Head,
    read_head,
)
from realmaster_live.errors import WireFormatError
from realmaster_live.feeds.feed import Arrival, CameraFeed
from realmaster_live.feeds.pixels import Pixels

log = logging.getLogger(__name__)
RETRY_S = 1.0  # between attempts to reach a server that is gone
CONNECT_S = 5.0
MOST_BYTES = 1 << 30  # of a message
Buffer = NDArray[np.uint8]


class BufferPool:
    """Reuses the memory of messages that nobody refers to any more.

    Fresh memory of a picture's size costs more than receiving the picture.
    """

    MOST = 12

    def __init__(self) -> None:
        self._buffers: list[Buffer] = []

    def take(self, size: int) -> Buffer:
        """Return (size,) uint8 that nobody else holds; its contents are left over."""
        for at in range(len(self._buffers)):
            unused = sys.getrefcount(self._buffers[at]) == 2  # the list, and this call
            if unused and len(self._buffers[at]) == size:
                return self._buffers[at]
        self._buffers = [*self._buffers[1 - self.MOST :], np.empty(size, np.uint8)]
        return self._buffers[-1]


class StreamHub:
    """Subscribes to a stream as long as somebody listens; the server may go and come meanwhile.

    The subscribers' connections stay open while the server is away: a client whose stream is closed
    dials again at once, for ever.

    Args:
        number: the stream's id.
        find: returns where it is served by now.
        open_feed: given width, height, frames a second and what delivers, returns what realizes
            the pictures, or None to leave them; called on a thread of its own.
        picture_type: the sensor type that may be realized; None for no stream.
        on_idle: called when the last subscriber is gone and the hub has ended.
    """

    def __init__(
        self,
        number: int,
        find: Callable[[], Stream | None],
        open_feed: OpenFeed,
        *,
        picture_type: int | None,
        on_idle: Callable[[StreamHub], None],
    ) -> None:
        self.number = number
        self.feed: CameraFeed | None = None
        self._find, self._open_feed, self._picture_type = find, open_feed, picture_type
        self._on_idle = on_idle
        self.on_finished: Callable[[], None] = lambda: (
            None
        )  # once the feed needs its engine no more
        self._subscribers: list[Subscriber] = []
        self._lock = threading.Lock()
        self._server: socket.socket | None = None
        self._ended = threading.Event()
        self._first_s: float | None = None  # simulation clock of the first picture
        self._opening = self._over = False
        self._pool = BufferPool()
        self._thread = threading.Thread(target=self._run, name=f"rm-stream-{number}", daemon=True)

    def add(self, sock: socket.socket) -> bool:
        """Send the stream to one more client; return False when the hub has ended."""
        with self._lock:
            if self._ended.is_set():
                return False
            name = f"a client of stream {self.number}"
            self._subscribers.append(Subscriber(sock, name, self._remove))
            if len(self._subscribers) == 1:
                self._thread.start()
            return True

    def close(self) -> None:
        """Hang up on everybody and wait for the end; may be called twice."""
        with self._lock:
            subscribers = list(self._subscribers)
        for subscriber in subscribers:
            subscriber.close()
        self._end()
        if threading.current_thread() is not self._thread and self._thread.is_alive():
            self._thread.join()

    def _remove(self, subscriber: Subscriber) -> None:
        with self._lock:
            self._subscribers.remove(subscriber)
            last = not self._subscribers
        if last:
            self._end()

    def _end(self) -> None:
        self._ended.set()
        server = self._server
        if server is not None:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        while not self._ended.is_set():
            stream = self._find()
            try:
                if stream is not None:
                    self._relay(stream)
            except (OSError, WireFormatError) as error:
                log.info("stream %d broke off: %s", self.number, error)
            self._ended.wait(RETRY_S)
        self._on_idle(self)
        with self._lock:
            self._over = True  # an engine that is opened from here on is closed by who opened it
        if self.feed is not None:
            self._finish(self.feed)

    def _finish(self, feed: CameraFeed) -> None:
        feed.finish()
        self.on_finished()
        log.info("%s: %s", feed.name, feed.figures)

    def _relay(self, stream: Stream) -> None:
        """Read the stream until the server hangs up."""
        with socket.create_connection((stream.host, stream.port), CONNECT_S) as server:
            self._server = server
            server.settimeout(None)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SEND_BUFFER)
            server.sendall(LENGTH.pack(self.number))
            length = bytearray(LENGTH.size)
            while not self._ended.is_set() and _filled(server, memoryview(length)):
                (size,) = LENGTH.unpack(length)
                if not HEAD.size <= size <= MOST_BYTES:
                    raise WireFormatError(f"expected a message of a stream, got one of {size} B")
                message = self._pool.take(LENGTH.size + size)
                message[: LENGTH.size] = np.frombuffer(length, np.uint8)
                if not _filled(server, message.data[LENGTH.size :]):
                    return
                self._take(message)
                del message  # so that the pool sees when nobody has it any more

    def _take(self, message: Buffer) -> None:
        head = read_head(message.data)
        arrival = self._arrival(message, head)
        if arrival is None or self.feed is None:
            self._send((message,))
            if arrival is not None:
                self._prepare(arrival)
        else:
            self.feed.put(arrival)

    def _arrival(self, message: Buffer, head: Head) -> Arrival | None:
        """Return a colour picture as a feed takes it; None for any other message."""
        if head.sensor_type != self._picture_type or len(message) < PIXELS_AT:
            return None
        width, height, fov_deg = IMAGE.unpack_from(message.data, LENGTH.size + HEAD.size)
        if len(message) != PIXELS_AT + width * height * 4 or not width * height:
            return None
        return Arrival(
            payload=message,
            pixels=message[PIXELS_AT:].reshape(height, width, 4),
            frame_id=head.frame,
            timestamp=head.time_s,
            fov_deg=fov_deg,
            cam_to_world=cam_to_world(unreal_matrix(head.pose[:3], head.pose[3:])),
        )

    def _prepare(self, arrival: Arrival) -> None:
        """Have the engine opened, once the second picture tells the frame rate."""
        if self._opening:
            return
        if self._first_s is None:
            self._first_s = arrival.timestamp
            return
        self._opening = True
        height, width = arrival.pixels.shape[:2]
        step_s = arrival.timestamp - self._first_s
        fps = 1.0 / step_s if step_s > 0 else 20.0

        def work() -> None:
            try:
                feed = self._open_feed(self, width, height, fps, self._deliver)
            except Exception:
                log.exception("stream %d stays as drawn: its engine cannot be opened", self.number)
                return
            with self._lock:
                self.feed = feed
                over = self._over
            if feed is not None and over:
                self._finish(feed)

        threading.Thread(target=work, name=f"rm-open-{self.number}", daemon=True).start()

    def _deliver(self, message: Any, pixels: Pixels | None) -> None:
        self._send((message,) if pixels is None else (message[:PIXELS_AT], pixels.reshape(-1)))

    def _send(self, parts: tuple[Any, ...]) -> None:
        for subscriber in tuple(self._subscribers):
            subscriber.offer(parts)


Deliver = Callable[[Any, Pixels | None], None]
OpenFeed = Callable[[StreamHub, int, int, float, Deliver], CameraFeed | None]


def _filled(sock: socket.socket, view: memoryview) -> bool:
    """Fill `view` from the socket; return False when the peer has hung up."""
    while len(view):
        count = sock.recv_into(view, len(view), socket.MSG_WAITALL)
        if not count:
            return False
        view = view[count:]
    return True
