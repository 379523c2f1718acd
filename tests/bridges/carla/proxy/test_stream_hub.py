"""A stream's hub between a scripted server and clients on plain sockets."""

import itertools
import os
import random
import select
import socket
import struct
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from realmaster_live.bridges.carla.proxy.routes import Stream
from realmaster_live.bridges.carla.proxy.stream_hub import PIECE, StreamHub
from realmaster_live.bridges.carla.proxy.subscribers import Subscriber
from realmaster_live.bridges.carla.wire.streams import HEAD

SIZE = 3 * PIECE + 12345
OTHER_SENSOR = 99


@pytest.fixture(params=["moved by the kernel", "copied"])
def way(request, monkeypatch):
    """Let the system pass bytes on by itself, or not, as some cannot."""
    if request.param == "copied":
        monkeypatch.delattr(os, "splice", raising=False)
    elif not hasattr(os, "splice"):
        pytest.skip("this system has no splice")


def message(size: int = SIZE) -> bytes:
    head = struct.pack("<Q", OTHER_SENSOR).ljust(HEAD.size, b"\0")
    return struct.pack("<I", size) + head + os.urandom(size - HEAD.size)


def read(sock: socket.socket, count: int) -> bytes:
    """Return so many bytes, fewer where the peer has hung up."""
    got = bytearray()
    while len(got) < count and (part := sock.recv(count - len(got))):
        got += part
    return bytes(got)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), timeout=30.0)
        its, _ = listener.accept()
    return ours, its


@contextmanager
def serving(count: int = 2):
    """Give a hub, its server's listener, the server's end of its connection, and its clients."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        listener.settimeout(30.0)
        hub = StreamHub(
            7,
            lambda: Stream(host="127.0.0.1", port=listener.getsockname()[1]),
            lambda *anything: None,
            picture_type=1,
            on_idle=lambda hub: ended.set(),
        )
        clients = []
        for ours, its in (pair() for _ in range(count)):
            assert hub.add(its)
            clients.append(stack.enter_context(ours))
        server = stack.enter_context(listener.accept()[0])
        assert server.recv(4) == struct.pack("<I", 7)
        yield hub, listener, server, clients
        hub.close()
        assert ended.wait(60)


@pytest.mark.parametrize("count", [1, 2])
def test_a_message_is_sent_on_while_it_comes(way, count):
    with serving(count) as (_, _, server, clients):
        for _ in range(3):
            sent = message()
            half = 4 + 2 * PIECE
            server.sendall(sent[:half])
            got = [read(one, PIECE) for one in clients]  # before the rest is sent
            server.sendall(sent[half:])
            for one, first in zip(clients, got, strict=True):
                assert first + read(one, len(sent) - PIECE) == sent


@pytest.mark.parametrize("count", [1, 2])
def test_bytes_are_the_same_however_they_are_split(way, count):
    """Messages of all sizes, in pieces that end anywhere, to clients that read in other pieces."""
    draw = random.Random(3)
    sizes = [HEAD.size, HEAD.size + 1, PIECE - 5, PIECE - 4, PIECE - 3, SIZE, 5 << 20, HEAD.size]
    sent = b"".join(message(size) for size in sizes)
    cuts = sorted({0, 1, 3, 4, 5, 63, 64, 65, len(sent), *draw.sample(range(len(sent)), 40)})
    with serving(count) as (_, _, server, clients):

        def send() -> None:
            for start, end in itertools.pairwise(cuts):
                server.sendall(sent[start:end])

        sender = threading.Thread(target=send)
        sender.start()
        got = [bytearray() for _ in clients]
        while any(len(one) < len(sent) for one in got):
            for sock, one in zip(clients, got, strict=True):
                if len(one) < len(sent):
                    one += sock.recv(draw.choice((1, 1000, 1 << 20)))
        sender.join()
        assert all(one == sent for one in got)


@pytest.mark.parametrize("killed", [False, True], ids=["it closes", "it is killed"])
def test_half_a_message_is_never_followed_by_another(way, killed):
    """Clients are hung up on, and dial again."""
    with serving(1 + killed) as (hub, _, server, clients):
        sent = message()
        server.sendall(sent[: 2 * PIECE])
        got = [read(one, PIECE) for one in clients]
        if killed:  # the connection is reset
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        for one, first in zip(clients, got, strict=True):
            rest = first + read(one, len(sent))
            assert sent.startswith(rest) and len(rest) < len(sent)
        hub.close()
        late, its = pair()
        with late, its:
            assert not hub.add(its)


def test_a_stream_goes_on_over_a_new_connection(way):
    with serving(1) as (_, listener, server, (client,)):
        for _ in range(2):
            sent = message()
            server.sendall(sent)
            assert read(client, len(sent)) == sent
            server.close()
            server = listener.accept()[0]
            assert server.recv(4) == struct.pack("<I", 7)
        server.close()


def test_a_server_that_only_stops_sending_has_hung_up(way):
    with serving(1) as (_, listener, server, (client,)):
        sent = message()
        server.sendall(sent)
        server.shutdown(socket.SHUT_WR)  # half-closed: it would still read
        assert read(client, len(sent)) == sent
        again = listener.accept()[0]
        again.close()


def test_a_client_that_closed_its_half_is_gone_and_one_that_reads_on_is_served(way):
    """As after the end of a client: what was sent before is still there to read."""
    with serving(1) as (hub, _, server, (client,)):
        sent = message()
        server.sendall(sent)
        assert read(client, len(sent)) == sent
        client.shutdown(socket.SHUT_WR)
        assert read(client, 1) == b""
        hub.close()


def test_a_client_that_dies_in_the_midst_of_a_message_ends_the_hub(way):
    with serving(1) as (hub, _, server, (client,)):
        server.sendall(message()[: 2 * PIECE])
        assert read(client, PIECE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        server.settimeout(10.0)
        assert server.recv(1) == b""  # the hub hangs up, which nobody listens to
        assert not hub._subscribers


def test_a_client_that_stops_reading_holds_the_stream_up_once_and_gets_whole_messages(way):
    with serving(1) as (hub, listener, server, (client,)):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        sent = [message(4 << 20) for _ in range(12)] + [message(1000)]
        (subscriber,) = hub._subscribers
        for one in sent:  # all are taken from the server, whatever the client does
            server.sendall(one)
        server.close()
        server = listener.accept()[0]  # so all were, before the client reads
        assert server.recv(4) == struct.pack("<I", 7)
        assert subscriber.stalls == 1 and 0 < subscriber.dropped < len(sent)
        for _ in range(len(sent) - subscriber.dropped):
            head = read(client, 4)
            whole = head + read(client, struct.unpack("<I", head)[0])
            assert whole in sent
        last = message(1000)
        server.sendall(last)
        assert read(client, len(last)) == last  # it has caught up
        assert subscriber.stalls == 1
        server.close()


def test_a_client_that_reads_a_little_is_not_waited_for_again():
    ours, its = pair()
    gone = threading.Event()
    with ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        subscriber = Subscriber(its, "a client", lambda one: gone.set())
        while subscriber.begin():
            subscriber.add(bytes(4 << 20), is_last=True)
        assert subscriber.stalls == subscriber.dropped == 1
        while subscriber._messages:  # the system's buffer takes all, and is full
            assert ours.recv(1 << 16)
            time.sleep(0.001)
        has_begun = subscriber.begin()
        assert subscriber.stalls == 1
        assert not has_begun or select.select([], [its], [], 0)[1]
        subscriber.close()
    assert gone.wait(60)
