"""One stream of the server, read once and sent to every client that listens to it."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.carla.geometry import cam_to_world, unreal_matrix
from realmaster_live.bridges.carla.proxy.kernel_pipe import KernelPipe, open_pipe
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
from realmaster_live.feeds.buffers import BufferPool
from realmaster_live.feeds.feed import Arrival, CameraFeed
from realmaster_live.feeds.pixels import Pixels

log = logging.getLogger(__name__)
RETRY_S = 1.0  # between attempts to reach a server that is gone
CONNECT_S = 5.0
MOST_BYTES = 1 << 30  # of a message
PIECE = 1 << 18  # bytes of a message that are sent on at a time
Buffer = NDArray[np.uint8]


class Picture(NamedTuple):
    """What the first bytes of a colour picture's message tell."""

    head: Head
    width: int
    height: int
    fov_deg: float


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
        self._pipe: KernelPipe | None = None
        self._ended = threading.Event()
        self._first_s: float | None = None  # simulation clock of the first picture
        self._opening = self._over = False
        self._pool = BufferPool(most=24)
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
        with ExitStack() as stack:
            address = stream.host, stream.port
            server = stack.enter_context(socket.create_connection(address, CONNECT_S))
            self._server, self._pipe = server, open_pipe()
            if self._pipe is not None:
                stack.callback(self._pipe.close)
            server.settimeout(None)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SEND_BUFFER)
            server.sendall(LENGTH.pack(self.number))
            length = bytearray(LENGTH.size)
            while not self._ended.is_set() and _filled(server, memoryview(length)):
                (size,) = LENGTH.unpack(length)
                if not HEAD.size <= size <= MOST_BYTES:
                    raise WireFormatError(f"expected a message of a stream, got one of {size} B")
                if not self._receive(server, LENGTH.size + size):
                    return

    def _receive(self, server: socket.socket, size: int) -> bool:
        """Take a message of so many bytes but for its length; False when the server hangs up.

        A picture that is realized is read whole, everything else is sent on while it comes.
        """
        piece = self._pool.take(min(size, PIECE))
        LENGTH.pack_into(piece.data, 0, size - LENGTH.size)
        start = min(size, PIXELS_AT)
        if not _filled(server, piece.data[LENGTH.size : start]):
            return False
        picture = self._picture(piece, size)
        if picture is None or self.feed is None:
            if not self._send_on(server, piece, start, size):
                return False
            if picture is not None:
                self._prepare(picture)
            return True
        message = self._pool.take(size)
        message[:start] = piece[:start]
        if not _filled(server, message.data[start:]):
            return False
        head, width, height = picture.head, picture.width, picture.height
        self.feed.put(
            Arrival(
                payload=message,
                pixels=message[PIXELS_AT:].reshape(height, width, 4),
                frame_id=head.frame,
                timestamp=head.time_s,
                fov_deg=picture.fov_deg,
                cam_to_world=cam_to_world(unreal_matrix(head.pose[:3], head.pose[3:])),
            )
        )
        return True

    def _send_on(self, server: socket.socket, piece: Buffer, start: int, size: int) -> bool:
        """Send a message while it comes; the first `start` of its `size` bytes are in `piece`.

        The kernel moves a large one to a single client. Otherwise it goes in pieces, which fit into
        the processor's caches; a whole picture does not.
        """
        takers = [one for one in tuple(self._subscribers) if one.begin()]
        left: int | None = size
        if self._pipe is not None and len(takers) == 1 and size > PIECE:
            left = self._move(self._pipe, server, takers[0], piece.data[:start], size)
        while left:
            if left != size:
                piece, start = self._pool.take(min(left, PIECE)), 0
            if not _filled(server, piece.data[start:]):
                left = None
                break
            left -= len(piece)
            for one in takers:
                one.add(piece, is_last=left == 0)
        if left is None:
            for one in takers:  # half a message is none: they dial again
                one.close()
        return left is not None

    def _move(
        self,
        pipe: KernelPipe,
        server: socket.socket,
        taker: Subscriber,
        first: memoryview,
        size: int,
    ) -> int | None:
        """Move a message, of which the first bytes are here, as far as the client takes it at once.

        Returns how many of its bytes are left with the server; None when that hangs up.
        """
        pipe.put(first)
        left = size - len(first)
        while left:
            try:
                count = pipe.fill(server, left)
            except ConnectionError:
                return None
            except OSError as error:  # a system that cannot do this
                log.debug("stream %d is copied: %r", self.number, error)
                self._pipe = None
                break
            if not count:
                return None
            left -= count
            taker.pass_on(pipe, is_last=left == 0)
            if pipe.held:
                break
        if pipe.held:
            taker.add(pipe.read(), is_last=left == 0)
        return left

    def _picture(self, piece: Buffer, size: int) -> Picture | None:
        """Return what the first bytes of a message tell of a colour picture; None for others."""
        head = read_head(piece.data)
        if head.sensor_type != self._picture_type or size < PIXELS_AT:
            return None
        width, height, fov_deg = IMAGE.unpack_from(piece.data, LENGTH.size + HEAD.size)
        if size != PIXELS_AT + width * height * 4 or not width * height:
            return None
        return Picture(head, width, height, fov_deg)

    def _prepare(self, picture: Picture) -> None:
        """Have the engine opened, once the second picture tells the frame rate."""
        if self._opening:
            return
        if self._first_s is None:
            self._first_s = picture.head.time_s
            return
        self._opening = True
        step_s = picture.head.time_s - self._first_s
        fps = 1.0 / step_s if step_s > 0 else 20.0

        def work() -> None:
            try:
                feed = self._open_feed(self, picture.width, picture.height, fps, self._deliver)
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
        takers = [one for one in tuple(self._subscribers) if one.begin()]
        for one in takers:
            if pixels is None:
                one.add(message, is_last=True)
            else:
                one.add(message[:PIXELS_AT], is_last=False)
                one.add(pixels.reshape(-1), is_last=True)


Deliver = Callable[[Any, Pixels | None], None]
OpenFeed = Callable[[StreamHub, int, int, float, Deliver], CameraFeed | None]


def _filled(sock: socket.socket, view: memoryview) -> bool:
    """Fill `view` from the socket; return False when the peer has hung up."""
    while len(view):
        try:
            count = sock.recv_into(view, len(view), socket.MSG_WAITALL)
        except ConnectionError:  # it was killed: what is half here must not be taken for whole
            return False
        if not count:
            return False
        view = view[count:]
    return True
