"""The client's end of both transports: `deepgtav+tcp://host:8000` and `deepgtav+zmq://...`.

A stream sends messages and receives frames; `server` has the other end. Every wait ends after its
timeout, and a stream may be closed twice.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from realmaster_live.bridges.gtav.protocol.framing import (
    MAX_FIELDS,
    Buffer,
    FrameDecoder,
    GameFrame,
    bgr_view,
    framed,
    read_pair,
    stride_of,
)
from realmaster_live.bridges.gtav.protocol.message_codec import encode_message
from realmaster_live.bridges.gtav.protocol.messages import Message
from realmaster_live.errors import ConfigError, ConnectError, FrameTimeout, reason
from realmaster_live.optional import require

PORT = 8000
SCHEMES = ("deepgtav+tcp", "deepgtav+zmq")
SLICE_S = 0.02  # a ZeroMQ socket belongs to one thread: a sender waits this long at most
LINGER_MS = 500  # that the last message may take after a close
QUEUED = 4  # messages on a ZeroMQ connection: two frames, so that none grows old in it


class GameStream(Protocol):
    """A client's end. `send` may be called from another thread than `receive`."""

    def send(self, message: Message | bytes) -> None:
        """Send a message, or a body as it is; raise ConnectError where the peer has left."""

    def receive(self, timeout_s: float) -> GameFrame:
        """Return the next frame; its pixels are valid until the next call.

        Raises:
            FrameTimeout: it was not complete in time; the next call waits for the same one.
            ConnectError: the peer has left. WireFormatError: it speaks another protocol.
        """

    def close(self) -> None:
        """Release the connection."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """The address that a game listens on; `scheme` is one of SCHEMES."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Address:
        """Return the address of a URL; raise ConfigError where it is not one."""
        try:
            parts = urlsplit(url)
            port = PORT if parts.port is None else parts.port
        except ValueError as error:
            raise _no_address(url) from error
        if parts.scheme not in SCHEMES or not parts.hostname or parts.path.strip("/"):
            raise _no_address(url)
        return cls(scheme=parts.scheme, host=parts.hostname, port=port)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def connect(address: Address, width: int, height: int, *, timeout_s: float = 10.0) -> GameStream:
    """Return the stream of a game that will send pictures of this size.

    Over ZeroMQ a missing game is noticed only when it sends nothing.

    Raises:
        ConnectError: no game listens there.
    """
    if address.scheme == "deepgtav+zmq":
        return ZmqStream(address, width, height)
    return TcpStream(address, width, height, timeout_s=timeout_s)


class TcpStream:
    """A client's end of a TCP connection."""

    def __init__(
        self, address: Address, width: int, height: int, *, timeout_s: float = 10.0
    ) -> None:
        self._address, self._timeout_s = address, timeout_s
        self._decoder = FrameDecoder(width, height)
        try:
            self._socket = socket.create_connection((address.host, address.port), timeout_s)
        except OSError as error:
            raise ConnectError(
                f"expected a game at {address}, got {reason(error)}: start the game with its "
                "capture script, or `realmaster gta-standin`"
            ) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._sending = threading.Lock()

    def send(self, message: Message | bytes) -> None:
        """Send a message, or a body as it is."""
        body = message if isinstance(message, bytes) else encode_message(message)
        with self._sending:
            send_all(self._socket, framed(body), self._timeout_s, self._address)

    def receive(self, timeout_s: float) -> GameFrame:
        """Return the next frame, in the decoder's own memory."""
        until = time.monotonic() + timeout_s
        while True:
            try:
                count = self._socket.recv_into(self._decoder.room())
            except BlockingIOError:
                if not is_ready(self._socket, until, to_read=True):
                    raise _no_frame(self._address, timeout_s) from None
                continue
            except OSError as error:
                raise peer_gone(self._address, error) from error
            if not count:
                raise peer_gone(self._address, "the end of the connection")
            frame = self._decoder.advance(count)
            if frame is not None:
                return frame
            if time.monotonic() > until:
                raise _no_frame(self._address, timeout_s)

    def close(self) -> None:
        """Hang up; a receive in another thread ends with ConnectError."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class ZmqStream:
    """A client's end of a ZeroMQ pair."""

    def __init__(self, address: Address, width: int, height: int) -> None:
        self._address, self._width, self._height = address, width, height
        self._zmq, self._context, self._socket = pair_socket(MAX_FIELDS)
        self._leaving = self._socket.get_monitor_socket(self._zmq.EVENT_DISCONNECTED)
        self._socket.connect(f"tcp://{address.host}:{address.port}")
        self._lock = threading.Lock()
        self._outbox: deque[bytes] = deque()
        self._image: Any = None
        self.orphans = 0  # messages whose other half was lost

    def send(self, message: Message | bytes) -> None:
        """Send a message, or a body as it is; at the latest while waiting for the next frame."""
        self._outbox.append(message if isinstance(message, bytes) else encode_message(message))
        if self._lock.acquire(blocking=False):
            try:
                self._flush()
            finally:
                self._lock.release()

    def receive(self, timeout_s: float) -> GameFrame:
        """Return the next frame, in the message's own memory."""
        until = time.monotonic() + timeout_s
        while True:
            with self._lock:
                self._flush()
                left = max(0.0, min(SLICE_S, until - time.monotonic()))
                part = self._next_part(left)
            if part is not None:
                frame = self._joined(part)
                if frame is not None:
                    return frame
            elif time.monotonic() > until:
                raise _no_frame(self._address, timeout_s)

    def close(self) -> None:
        """Send what is left and release the socket."""
        with self._lock:
            if not self._socket.closed:
                self._flush()
                self._socket.disable_monitor()
                self._leaving.close(0)  # or the context waits for it forever
                self._socket.close(LINGER_MS)
                self._context.term()

    def _next_part(self, wait_s: float) -> Any:
        if self._socket.closed:
            raise peer_gone(self._address, "a closed connection")
        if not self._socket.poll(round(1e3 * wait_s)):
            if self._leaving.poll(0):  # all that it sent before it left has been read
                raise peer_gone(self._address, "the end of the connection")
            return None
        return self._socket.recv(copy=False)

    def _joined(self, part: Any) -> GameFrame | None:
        """Return the frame that a message completes; count messages whose other half is lost."""
        body, image = part.buffer, self._image
        is_picture = len(body) == stride_of(self._width) * self._height
        is_object = body[:1] == b"{" and body[-1:] == b"}"
        if image is not None and (is_object or not is_picture):
            self._image = None
            return read_pair(image, body, self._width, self._height)
        if image is not None or (is_object and not is_picture):
            self.orphans += 1
        if is_picture or not is_object:
            bgr_view(body, self._width, self._height)  # or its error
            self._image = body
        return None

    def _flush(self) -> None:
        while self._outbox and not self._socket.closed:
            try:
                self._socket.send(self._outbox[0], self._zmq.NOBLOCK)
            except self._zmq.Again:
                return
            self._outbox.popleft()


def pair_socket(limit: int) -> tuple[Any, Any, Any]:
    """Return pyzmq, a context of its own, and a PAIR that takes no message above `limit`."""
    zmq = require("zmq", extra="gta")
    context = zmq.Context()
    pair = context.socket(zmq.PAIR)
    pair.setsockopt(zmq.MAXMSGSIZE, limit)
    pair.setsockopt(zmq.RCVHWM, QUEUED)
    pair.setsockopt(zmq.SNDHWM, QUEUED)
    pair.setsockopt(zmq.SNDTIMEO, LINGER_MS)
    return zmq, context, pair


def send_all(to: socket.socket, data: Buffer, timeout_s: float, address: Address) -> None:
    """Send on a socket that does not block; raise ConnectError where it cannot be done in time."""
    rest, until = memoryview(data), time.monotonic() + timeout_s
    while rest:
        try:
            rest = rest[to.send(rest) :]
        except BlockingIOError:
            if not is_ready(to, until, to_read=False):
                raise peer_gone(address, f"a peer that took nothing for {timeout_s:g} s") from None
        except OSError as error:
            raise peer_gone(address, error) from error


def is_ready(one: socket.socket, until: float, *, to_read: bool) -> bool:
    """Wait until a socket can be read or written, or until a time of the monotonic clock."""
    wait_s = max(0.0, until - time.monotonic())
    try:
        able = select.select([one] if to_read else [], [] if to_read else [one], [], wait_s)
    except (OSError, ValueError):
        if one.fileno() < 0:  # closed by another thread: the next call raises
            return True
        raise
    return any(able)


def _no_address(url: str) -> ConfigError:
    return ConfigError(
        f"expected {SCHEMES[0]}://host:port or {SCHEMES[1]}://127.0.0.1:port, got {url!r}: "
        "name where the game listens"
    )


def peer_gone(address: Address, got: object) -> ConnectError:
    """Return what to raise where a peer cannot be spoken to any more."""
    return ConnectError(f"expected the peer of {address} to stay, got {got}: connect again")


def _no_frame(address: Address, timeout_s: float) -> FrameTimeout:
    return FrameTimeout(
        f"expected a frame of {address} within {timeout_s:g} s, got none: check that the game "
        "runs, is not paused, and has no other client"
    )
