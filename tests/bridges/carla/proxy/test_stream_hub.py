"""A stream's hub between a scripted server and clients on plain sockets."""

import os
import socket
import struct
import threading
from contextlib import ExitStack, contextmanager

from realmaster_live.bridges.carla.proxy.routes import Stream
from realmaster_live.bridges.carla.proxy.stream_hub import PIECE, StreamHub
from realmaster_live.bridges.carla.wire.streams import HEAD

SIZE = 3 * PIECE + 12345
OTHER_SENSOR = 99


def message(size: int = SIZE) -> bytes:
    head = struct.pack("<Q", OTHER_SENSOR).ljust(HEAD.size, b"\0")
    return struct.pack("<I", size) + head + os.urandom(size - HEAD.size)


def read(sock: socket.socket, count: int) -> bytes:
    """Return so many bytes, fewer where the peer has hung up."""
    got = b""
    while len(got) < count and (part := sock.recv(count - len(got))):
        got += part
    return got


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), timeout=10.0)
        its, _ = listener.accept()
    return ours, its


@contextmanager
def serving():
    """Give a hub, the server's end of its connection, and its two clients."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        listener.settimeout(10.0)
        hub = StreamHub(
            7,
            lambda: Stream(host="127.0.0.1", port=listener.getsockname()[1]),
            lambda *anything: None,
            picture_type=1,
            on_idle=lambda hub: ended.set(),
        )
        clients = []
        for ours, its in (pair(), pair()):
            assert hub.add(its)
            clients.append(stack.enter_context(ours))
        server = stack.enter_context(listener.accept()[0])
        assert server.recv(4) == struct.pack("<I", 7)
        yield hub, server, clients
        hub.close()
        assert ended.wait(10.0)


def test_a_message_is_sent_on_while_it_comes():
    with serving() as (_, server, clients):
        for _ in range(3):
            sent = message()
            half = 4 + 2 * PIECE
            server.sendall(sent[:half])
            got = [read(one, PIECE) for one in clients]  # before the rest is sent
            server.sendall(sent[half:])
            for one, first in zip(clients, got, strict=True):
                assert first + read(one, len(sent) - PIECE) == sent


def test_half_a_message_is_never_followed_by_another():
    """Clients are hung up on, and dial again."""
    with serving() as (hub, server, clients):
        sent = message()
        server.sendall(sent[: 2 * PIECE])
        server.close()
        for one in clients:
            got = read(one, len(sent))
            assert sent.startswith(got) and len(got) < len(sent)
        hub.close()
        late, its = pair()
        with late, its:
            assert not hub.add(its)
