"""Clients that are rude, silent, or two at once: the stand-in for the game outlives them all."""

import socket
from contextlib import ExitStack, closing

import numpy as np
import pytest
from game_client import FAST, FRAMES, fresh, playing, served, started
from game_server import (
    HEIGHT,
    WIDTH,
)

from realmaster_live.bridges.gtav.protocol.client import Address, connect
from realmaster_live.bridges.gtav.protocol.framing import framed
from realmaster_live.bridges.gtav.protocol.message_codec import encode_message
from realmaster_live.bridges.gtav.protocol.messages import (
    DatasetOptions,
    Scenario,
    Start,
    Stop,
)
from realmaster_live.bridges.gtav.protocol.server import TcpServer
from realmaster_live.errors import ConnectError, FrameTimeout


def test_a_client_is_left_in_mid_frame_and_may_come_again(recording):
    with playing("deepgtav+tcp", recording, "--quirk=disconnect") as address:
        for _ in range(2):
            with started(address) as stream:
                assert len(fresh(stream, 5)) == 5
                with pytest.raises(ConnectError):
                    stream.receive(30.0)


def test_a_second_client_is_hung_up_on(recording):
    slow = DatasetOptions(rate=5.0, frame=(WIDTH, HEIGHT))
    with (
        playing("deepgtav+tcp", recording, "--quirk=refuse-second") as address,
        started(address, slow) as first,
    ):
        fresh(first, 1)
        with closing(connect(address, WIDTH, HEIGHT)) as second, pytest.raises(ConnectError):
            second.receive(30.0)
        fresh(first, 1)


def test_nothing_comes_before_a_start_nor_after_a_stop(recording):
    with (
        playing("deepgtav+tcp", recording) as address,
        closing(connect(address, WIDTH, HEIGHT)) as stream,
    ):
        with pytest.raises(FrameTimeout):
            stream.receive(0.3)
        stream.send(Start(dataset=DatasetOptions(rate=20.0, frame=(WIDTH, HEIGHT))))
        fresh(stream, 2)
        stream.send(Stop())
        with pytest.raises(FrameTimeout):
            for _ in range(FRAMES):
                stream.receive(0.3)


def test_a_message_above_the_games_buffer_ends_the_connection_only(recording):
    with playing("deepgtav+tcp", recording) as address:
        with closing(socket.create_connection((address.host, address.port), 30.0)) as rude:
            rude.sendall(framed(b"x" * 5000))
            assert rude.recv(1) == b""
        with started(address) as stream:
            assert len(fresh(stream, 2)) == 2


def test_the_server_outlives_clients_that_send_anything(recording):
    rng = np.random.default_rng(11)
    start = framed(encode_message(Start(dataset=FAST)))
    with served("deepgtav+tcp", recording) as (address, process):
        for number in range(40):
            noise = bytearray(start if number % 2 else rng.bytes(60))
            noise[int(rng.integers(len(noise)))] ^= 1 << int(rng.integers(8))
            with closing(socket.create_connection((address.host, address.port), 30.0)) as rude:
                rude.sendall(noise[: int(rng.integers(1, len(noise)))])
        with started(address) as stream:
            assert len(fresh(stream, 2)) == 2
        assert process.poll() is None


def test_a_bad_message_costs_only_itself(recording, capfd):
    start = encode_message(Start(scenario=Scenario(weather="CLEAR"), dataset=FAST))
    scalar = start.replace(b'"drivingMode": -1', b'"drivingMode": 786603')
    bad = [b"{}", b'{"commands": {"throttle": NaN, "brake": 0, "steering": 0}}', b"\xff"]
    with (
        served("deepgtav+tcp", recording) as (address, _),
        closing(connect(address, WIDTH, HEIGHT)) as stream,
    ):
        stream._socket.sendall(b"".join(map(framed, [bad[0], scalar, *bad[1:]])))  # one segment
        assert len(fresh(stream, 2)) == 2
    assert capfd.readouterr().err.count("left out what a client sent") == 3


def test_a_silent_client_loses_its_turn_to_one_that_waits():
    address = Address.parse("deepgtav+tcp://127.0.0.1:0")
    with closing(TcpServer(address, idle_s=0.0)) as server, ExitStack() as stack:
        here = ("127.0.0.1", server.port)
        silent = stack.enter_context(socket.create_connection(here))
        while not server.connected:
            server.receive(0.1)
        server.serving = False
        silent.sendall(framed(b"{}"))
        assert server.receive(30.0) == [b"{}"]
        assert server.receive(0.0) == [] and server.connected  # nobody waits
        waiting = stack.enter_context(socket.create_connection(here))
        while server.connected:
            server.receive(0.1)
        assert silent.recv(1) == b""
        while not server.connected:
            server.receive(0.1)
        server.serving = True  # who is sent frames keeps its turn
        third = stack.enter_context(socket.create_connection(here))
        waiting.sendall(framed(b"{}"))
        assert server.receive(30.0) == [b"{}"]
        assert server.receive(0.0) == [] and server.clients == 2
        third.close()
