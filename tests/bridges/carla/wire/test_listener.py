"""The two sockets of a server: neighbours wherever the ports can be chosen."""

import socket
from contextlib import closing, suppress

from realmaster_live.bridges.carla.wire import listener
from realmaster_live.bridges.carla.wire.listener import listening, listening_pair
from realmaster_live.errors import ConnectError

HOST = "127.0.0.1"


def ports_of(pair: tuple[socket.socket, socket.socket]) -> tuple[int, int]:
    calls, streams = (sock.getsockname()[1] for sock in pair)
    for sock in pair:
        sock.close()
    return calls, streams


def test_a_port_is_sought_whose_next_one_is_free(monkeypatch):
    """The first port that the system gives has a neighbour that is taken."""
    while True:
        first = listening(HOST, 0)
        port = first.getsockname()[1]
        with suppress(ConnectError), closing(listening(HOST, port + 1)):
            first.close()
            given = iter([port])

            def give(host: str, n: int, given=given) -> socket.socket:
                return listening(host, n or next(given, 0))

            monkeypatch.setattr(listener, "listening", give)
            calls, streams = ports_of(listening_pair(HOST, 0))
            assert calls != port and streams == calls + 1
            return
        first.close()


def test_where_the_next_port_is_taken_streams_have_another():
    with closing(listening(HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with suppress(ConnectError):
            calls, streams = ports_of(listening_pair(HOST, port - 1))
            assert calls == port - 1 and streams not in (0, port)
