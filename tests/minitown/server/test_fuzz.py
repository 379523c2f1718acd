"""Hostile peers: whatever they send ends at most their own connection."""

import socket
import struct
import time

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import until

from realmaster_live.bridges.carla.wire.rpc import Request, encode_request
from realmaster_live.minitown.server.rpc import CALLS

pytestmark = pytest.mark.carla

# well-formed envelopes with nonsense inside must be answered, not dropped
NONSENSE = [
    [], [None], [{}], [[]], [-1], [2**63], ["x"], [1e308], [[[[]]]], [b"\xff" * 24], [True, True],
    [[float("nan")] * 3, 1], [0, [[1, 2], [3]]], [[[0, [[]]]], True], [list(range(300))],
]  # fmt: skip

GARBAGE = {
    "text": b"GET / HTTP/1.1\r\nHost: carla\r\n\r\n",
    "noise": bytes(range(256)) * 8,
    "not a request": msgpack.packb([1, 2, None, 3]),
    "a number": msgpack.packb(7),
    "no metadata": msgpack.packb([0, 1, "version", []]),
    "metadata of another type": msgpack.packb([0, 1, "version", [[7]]]),
    "name is a number": msgpack.packb([0, 1, 2, [[False]]]),
    "huge array": b"\xdd\xff\xff\xff\xff",
    "huge map": b"\xdf\xff\xff\xff\xff",
    "huge string": b"\xdb\xff\xff\xff\xff" + b"a" * 1000,
    "huge bin": b"\xc6\xff\xff\xff\xff" + b"a" * 1000,
    "extension": b"\xc9\x00\x00\x00\x05\x01hello",
    "reserved byte": b"\xc1" * 16,
    "deep": b"\x91" * 4000,
    "bad utf8": b"\x94\x00\x01\xa4\xff\xfe\xfd\xfc\x91\x91\xc2",
}


def connect(server, offset=0):
    return socket.create_connection((server.host, server.port + offset), timeout=30.0)


def ask(server, name, args):
    """Return the decoded answer of one call on a connection of its own."""
    with connect(server) as sock:
        sock.sendall(encode_request(Request(1, name, False, args)))
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        while True:
            data = sock.recv(1 << 20)
            assert data, f"{name}{args}: the connection was closed without an answer"
            unpacker.feed(data)
            for message in unpacker:
                return message


def closed(sock):
    """Return whether the server hangs up on us, within the socket's time."""
    try:
        while sock.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    return True


def alive(server):
    return ask(server, "version", []) == [1, 1, None, [[1, "0.9.16"]]]


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_ends_only_its_connection(blank_minitown, name):
    with connect(blank_minitown) as healthy, connect(blank_minitown) as sock:
        sock.sendall(GARBAGE[name])
        if name in ("huge string", "huge bin", "huge array", "huge map", "deep"):
            sock.shutdown(socket.SHUT_WR)  # some wait for the rest that was promised
        assert closed(sock)
        healthy.sendall(encode_request(Request(9, "version", False, [])))
        assert msgpack.unpackb(healthy.recv(4096))[:3] == [1, 9, None]


def test_half_a_request_waits_for_its_other_half(blank_minitown):
    whole = encode_request(Request(3, "version", False, []))
    with connect(blank_minitown) as sock:
        for octet in whole:
            sock.sendall(bytes([octet]))
            time.sleep(0.002)
        assert msgpack.unpackb(sock.recv(4096)) == [1, 3, None, [[1, "0.9.16"]]]


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"tick_cue", "load_new_episode"}))
def test_every_call_answers_nonsense(blank_minitown, name):
    for args in NONSENSE:
        answer = ask(blank_minitown, name, args)
        assert answer[:2] == [1, 1] and answer[2] is None and isinstance(answer[3], list)
    assert alive(blank_minitown)


def test_unknown_calls_are_named(blank_minitown):
    number, error = ask(blank_minitown, "launch_rocket", [1])[1:3]
    assert number == 1 and "launch_rocket" in error
    refused = ask(blank_minitown, "get_telemetry_data", [1])
    assert refused[3][0][0] == 0 and "get_telemetry_data" in refused[3][0][1][0]


def test_stream_port_survives_strangers(blank_client, blank_minitown):
    for opening in (b"", b"\x01", struct.pack("<I", 0xFFFFFFFF), b"GET / HTTP/1.1\r\n\r\n"):
        with connect(blank_minitown, 1) as sock:
            sock.sendall(opening)
    with connect(blank_minitown, 1) as sock:
        sock.sendall(struct.pack("<I", 999_999))
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)  # kept open and idle: a client would dial again at once
    assert blank_client.get_world().wait_for_tick(30.0).frame > 0


def test_a_subscriber_that_never_reads_does_not_stop_the_others(blank_client, blank_minitown):
    world = blank_client.get_world()
    with connect(blank_minitown, 1) as sock:
        sock.sendall(struct.pack("<I", 1))
        first = world.wait_for_tick(30.0).frame
        until(lambda: world.get_snapshot().frame - first > 10)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(min_size=1, max_size=200))
def test_random_bytes(blank_minitown, data):
    with connect(blank_minitown) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert closed(sock)
    assert alive(blank_minitown)


ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8)
    | st.binary(max_size=24),
    lambda children: st.lists(children, max_size=5),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(sorted(set(CALLS) - {"tick_cue"})), args=st.lists(ITEMS, max_size=4))
def test_random_arguments_are_answered(blank_minitown, name, args):
    answer = ask(blank_minitown, name, args)
    assert answer[:3] == [1, 1, None]


def test_town_is_still_whole(blank_client):
    world = blank_client.get_world()
    assert world.get_map().get_spawn_points()
    assert world.wait_for_tick(30.0).frame > 0
