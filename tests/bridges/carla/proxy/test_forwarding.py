"""The proxy before scripted servers: other versions, other protocols, servers that go and come."""

import socket
import struct
import threading
from contextlib import contextmanager, suppress

import pytest

from realmaster_live.bridges.carla.proxy.server import CarlaProxy
from realmaster_live.bridges.carla.wire.listener import listening
from realmaster_live.bridges.carla.wire.rpc import (
    Decoder,
    Request,
    encode_answer,
    encode_request,
    result_of,
    value,
)
from realmaster_live.bridges.carla.wire.streams import (
    Head,
    Token,
    bgra_of,
    image_buffer,
    stamp_image,
)
from realmaster_live.errors import ConnectError, WireFormatError
from realmaster_live.feeds.realizing import Realizing

TOKEN = Token(9, 2001)
ACTOR = [5, 0, [7, "sensor.camera.rgb", []], [], b"", TOKEN.pack()]
RGB = 13


class Scripted:
    """A server that answers by a table; an answer may also be bytes to send as they are."""

    def __init__(self, answers: dict, port: int = 0) -> None:
        self.answers, self.heard = answers, bytearray()
        self._listener = listening("127.0.0.1", port)
        self.port = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        decoder = Decoder()
        with sock, suppress(OSError):  # `close` takes the socket away
            try:
                while data := sock.recv(1 << 16):
                    self.heard += data
                    for request in decoder.feed(data):
                        answer = self.answers.get(request.name, value(None))
                        if not isinstance(answer, bytes):
                            answer = encode_answer(request.id, answer)
                        sock.sendall(answer)
            except WireFormatError:  # it is no CARLA client
                sock.sendall(b"what?")
                sock.recv(1)

    def close(self) -> None:
        for sock in (self._listener, *self._clients):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


@contextmanager
def scripted(version: str = "0.9.16", **answers):
    server = Scripted({"version": value(version), **answers})
    with CarlaProxy(("127.0.0.1", server.port), Realizing(engine="identity"), port=0) as proxy:
        try:
            yield server, proxy
        finally:
            server.close()


def call(port: int, *names: str) -> list[bytes]:
    """Return the whole answers to some calls of one client."""
    answers = []
    with socket.create_connection(("127.0.0.1", port), 5.0) as sock:
        for number, name in enumerate(names):
            sock.sendall(encode_request(Request(number, name, False, [])))
            answers.append(sock.recv(1 << 16))
    return answers


@pytest.mark.parametrize("version", ["0.9.15", "0.9.16", "0.9.16-12-gabc"])
def test_cameras_of_known_versions_lead_to_the_proxy(version):
    with scripted(version, spawn_actor=value(ACTOR)) as (_, proxy):
        (answer,) = call(proxy.port, "spawn_actor")
        assert result_of(answer)[0][1][5] == Token(9, proxy.stream_port).pack()


def test_of_an_unknown_version_every_byte_is_forwarded(caplog):
    with scripted("0.10.0", spawn_actor=value(ACTOR)) as (server, proxy):
        answers = call(proxy.port, "spawn_actor", "spawn_actor")
        assert answers == [encode_answer(n, value(ACTOR)) for n in range(2)]
        assert caplog.text.count("CARLA 0.10.0, of which the messages are not known") == 1
        assert bytes(server.heard).endswith(encode_request(Request(1, "spawn_actor", False, [])))


def test_what_is_no_carla_protocol_is_forwarded_both_ways(caplog):
    with (
        scripted() as (server, proxy),
        socket.create_connection(("127.0.0.1", proxy.port), 30.0) as sock,
    ):
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert sock.recv(64) == b"what?"
        assert bytes(server.heard).endswith(b"GET / HTTP/1.1\r\n\r\n")
        assert "forwarded as it is from here on" in caplog.text


def test_a_large_answer_arrives_whole():
    big = value("x" * (20 << 20))
    with (
        scripted(get_map_data=big) as (_, proxy),
        socket.create_connection(("127.0.0.1", proxy.port), 30.0) as sock,
    ):
        sock.sendall(encode_request(Request(1, "get_map_data", False, [])))
        expected, got = encode_answer(1, big), bytearray()
        while len(got) < len(expected):
            got += sock.recv(1 << 20)
        assert got == expected


def test_clients_are_turned_away_while_the_server_is_gone_and_served_again(caplog):
    with scripted(get_map_info=value("a")) as (server, proxy):
        assert call(proxy.port, "get_map_info") == [encode_answer(0, value("a"))]
        server.close()
        with socket.create_connection(("127.0.0.1", proxy.port), 30.0) as sock:
            assert sock.recv(1) == b""
        assert "no server at 127.0.0.1" in caplog.text
        again = Scripted({"version": value("0.9.16"), "get_map_info": value("b")}, server.port)
        assert call(proxy.port, "get_map_info") == [encode_answer(0, value("b"))]
        again.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "::1", "nowhere.invalid"])
def test_an_address_that_is_not_this_machines_is_one_sentence(host):
    with pytest.raises(ConnectError, match=f"expected an IPv4 address of this machine .*'{host}'"):
        CarlaProxy(("127.0.0.1", 2000), Realizing(engine="identity"), host=host, port=0)


def image(frame: int) -> bytearray:
    buffer = image_buffer(8, 4)
    stamp_image(buffer, Head(RGB, frame, frame / 20, (0.0,) * 6), 8, 4, 90.0)
    bgra_of(buffer, 8, 4)[...] = frame
    return buffer


def test_a_stream_goes_on_when_its_server_comes_back():
    streams = listening("127.0.0.1", 0)
    actor = [*ACTOR[:5], Token(9, streams.getsockname()[1]).pack()]
    with scripted(spawn_actor=value(actor)) as (_, proxy):
        call(proxy.port, "spawn_actor")
        with socket.create_connection(("127.0.0.1", proxy.stream_port), 30.0) as client:
            client.sendall(struct.pack("<I", 9))
            for frame in (1, 2):
                source, _ = streams.accept()
                with source:
                    assert source.recv(4) == struct.pack("<I", 9)
                    source.sendall(image(frame))
                    got = b""
                    while len(got) < len(image(frame)):
                        got += client.recv(1 << 16)
                    assert got == image(frame)
    streams.close()


def test_a_stream_that_nobody_knows_stays_silent_and_open():
    with (
        scripted() as (_, proxy),
        socket.create_connection(("127.0.0.1", proxy.stream_port), 30.0) as client,
    ):
        client.sendall(struct.pack("<I", 77))
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
