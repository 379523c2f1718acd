"""The server's end of both transports; `client` has the other one.

A server sends pairs and receives messages, one client at a time, as the game does. Every wait ends
after its timeout, and a server may be closed twice.
"""

from __future__ import annotations

import contextlib
import socket
import time

from realmaster_live.bridges.gtav.protocol.client import (
    LINGER_MS,
    Address,
    is_ready,
    pair_socket,
    send_all,
)
from realmaster_live.bridges.gtav.protocol.framing import LENGTH, Buffer, MessageDecoder, framed
from realmaster_live.bridges.gtav.protocol.messages import MAX_MESSAGE
from realmaster_live.errors import BridgeError, ConnectError

IDLE_S = 5.0  # a client that takes no frames for so long makes room for one that waits


def open_server(
    address: Address, *, limit: int = MAX_MESSAGE, timeout_s: float = 5.0
) -> TcpServer | ZmqServer:
    """Return a server's end; `limit` bounds a client's message, `timeout_s` sending to it.

    Port 0 takes a free one: see its `port`. Raises ConnectError where the port is taken.
    """
    if address.scheme == "deepgtav+zmq":
        return ZmqServer(address, limit=limit, timeout_s=timeout_s)
    return TcpServer(address, limit=limit, timeout_s=timeout_s)


class TcpServer:
    """A server's end over TCP. A second client waits in the backlog, as with the game.

    A client that is sent no frames, as one that never asks for any, loses its turn after `idle_s`
    when another one waits.

    Attributes:
        port: where it listens. clients: how many have connected so far.
        refuse_second: hang up on a second client instead.
    """

    def __init__(
        self,
        address: Address,
        *,
        limit: int = MAX_MESSAGE,
        timeout_s: float = 5.0,
        idle_s: float = IDLE_S,
    ) -> None:
        self._address, self._limit, self._timeout_s = address, limit, timeout_s
        self._idle_s = idle_s
        self.clients, self.refuse_second = 0, False
        self._client: socket.socket | None = None
        self._messages = MessageDecoder(limit)
        self._idle_since: float | None = None
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((address.host, address.port))
            self._listener.listen(1)
        except OSError as error:
            self._listener.close()
            raise _taken(address, error) from error
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    @property
    def connected(self) -> bool:
        """Whether there is a client."""
        return self._client is not None

    @property
    def serving(self) -> bool:
        """Whether the client is being sent frames, as far as the owner has set it."""
        return self._idle_since is None

    @serving.setter
    def serving(self, serving: bool) -> None:
        if serving != self.serving:
            self._idle_since = None if serving else time.monotonic()

    def has_room(self, timeout_s: float) -> bool:
        """Return whether there is a client that takes more; waits up to `timeout_s` for it."""
        if self._client is None:
            return False
        return is_ready(self._client, time.monotonic() + timeout_s, to_read=False)

    def receive(self, timeout_s: float) -> list[bytes]:
        """Return the client's messages so far; waits up to `timeout_s` for a client or a message.

        Raises:
            WireFormatError: the client sent no messages and was hung up on.
        """
        if self._client is None:
            if is_ready(self._listener, time.monotonic() + timeout_s, to_read=True):
                self._accept()
            return []
        if is_ready(self._listener, 0.0, to_read=True):
            if self.refuse_second:
                with contextlib.suppress(OSError):
                    self._listener.accept()[0].close()
            elif self._has_idled_too_long():
                self.drop()
                return []
        if not is_ready(self._client, time.monotonic() + timeout_s, to_read=True):
            return []
        try:
            data = self._client.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            self.drop()
            return []
        try:
            return list(self._messages.feed(data))
        except BridgeError:
            self.drop()
            raise

    def send(self, image: Buffer, fields: Buffer) -> bool:
        """Send a pair; a client that does not take it in time is dropped."""
        return (
            self.write(LENGTH.pack(len(image))) and self.write(image) and self.write(framed(fields))
        )

    def write(self, data: Buffer) -> bool:
        """Send bytes as they are; return False where no client takes them."""
        if self._client is None:
            return False
        try:
            send_all(self._client, data, self._timeout_s, self._address)
        except ConnectError:
            self.drop()
            return False
        return True

    def drop(self) -> None:
        """Hang up on the client and release what it sent."""
        client, self._client = self._client, None
        self._messages = MessageDecoder(self._limit)
        if client is not None:
            client.close()

    def close(self) -> None:
        """Let what was sent arrive, hang up and release the port."""
        if self._client is not None:
            until = time.monotonic() + 1e-3 * LINGER_MS
            with contextlib.suppress(OSError):  # unread bytes would make a close take back ours
                self._client.shutdown(socket.SHUT_WR)
                while is_ready(self._client, until, to_read=True) and self._client.recv(1 << 20):
                    pass
        self.drop()
        self._listener.close()

    def _has_idled_too_long(self) -> bool:
        since = self._idle_since
        return since is not None and time.monotonic() - since > self._idle_s

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # it has left again
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setblocking(False)
        self._client, self._idle_since = client, time.monotonic()
        self.clients += 1


class ZmqServer:
    """A server's end over ZeroMQ, which takes one peer and refuses a second without notice.

    Attributes:
        port: where it listens.
    """

    def __init__(
        self, address: Address, *, limit: int = MAX_MESSAGE, timeout_s: float = 5.0
    ) -> None:
        self._timeout_s = timeout_s
        self._zmq, self._context, self._socket = pair_socket(limit)
        try:
            self._socket.bind(f"tcp://{address.host}:{address.port or '*'}")
        except self._zmq.ZMQError as error:
            self.close()
            raise _taken(address, error) from error
        self.port = int(self._socket.getsockopt_string(self._zmq.LAST_ENDPOINT).rpartition(":")[2])

    def has_room(self, timeout_s: float) -> bool:
        """Return whether there is a client that takes more; waits up to `timeout_s` for it."""
        return bool(self._socket.poll(round(1e3 * timeout_s), self._zmq.POLLOUT))

    def receive(self, timeout_s: float) -> list[bytes]:
        """Return the client's messages so far; waits up to `timeout_s` for a message."""
        bodies: list[bytes] = []
        while self._socket.poll(0 if bodies else round(1e3 * timeout_s)):
            bodies.append(self._socket.recv())
        return bodies

    def send(self, image: Buffer, fields: Buffer) -> bool:
        """Send a pair; waits for a slow client, not for one to connect."""
        if not self.has_room(self._timeout_s):
            return False
        for body in (image, fields):
            try:
                self._socket.send(body, copy=False)
            except self._zmq.Again:
                return False
        return True

    def close(self) -> None:
        """Release the port."""
        if not self._socket.closed:
            self._socket.close(LINGER_MS)
            self._context.term()


def _taken(address: Address, error: Exception) -> ConnectError:
    return ConnectError(f"expected a free port at {address}, got {error}: choose another")
