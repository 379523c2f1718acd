import socket
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from realmaster_live.bridges.gtav.protocol.client import Address, connect
from realmaster_live.bridges.gtav.protocol.framing import framed, image_body
from realmaster_live.bridges.gtav.protocol.message_codec import decode_message
from realmaster_live.bridges.gtav.protocol.messages import Commands, SetWeather, Start
from realmaster_live.bridges.gtav.protocol.server import open_server
from realmaster_live.errors import ConfigError, ConnectError, FrameTimeout, WireFormatError

SCHEMES = ("deepgtav+tcp", "deepgtav+zmq")
RGB = np.random.default_rng(3).integers(0, 256, (5, 7, 3), np.uint8)


def local(scheme, port=0):
    return Address(scheme=scheme, host="127.0.0.1", port=port)


def of_server(server, scheme):
    return local(scheme, server.port)


def messages_at(server, count, within_s=60.0):
    bodies, until = [], time.monotonic() + within_s
    while len(bodies) < count and time.monotonic() < until:
        bodies += server.receive(0.1)
    return [decode_message(body) for body in bodies]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_messages_go_out_and_frames_come_back(scheme):
    with closing(open_server(local(scheme))) as server:
        with closing(connect(of_server(server, scheme), 7, 5)) as stream:
            stream.send(Start())
            assert messages_at(server, 1) == [Start()]
            assert server.has_room(30.0)
            for number in range(3):
                assert server.send(image_body(RGB + np.uint8(number)), b'{"index": %d}' % number)
                frame = stream.receive(30.0)
                assert frame.fields == {"index": number}
                np.testing.assert_array_equal(frame.image, RGB + np.uint8(number))
            stream.send(Commands(throttle=1.0, brake=0.0, steering=0.25))
            stream.send(SetWeather(weather="RAIN"))
            assert messages_at(server, 2) == [
                Commands(throttle=1.0, brake=0.0, steering=0.25),
                SetWeather(weather="RAIN"),
            ]
            stream.close()
        server.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_silent_peer_is_waited_for_no_longer_than_said(scheme):
    server = open_server(local(scheme))
    with closing(server), closing(connect(of_server(server, scheme), 7, 5)) as stream:
        assert server.receive(0.2) == []
        started = time.monotonic()
        with pytest.raises(FrameTimeout, match=r"within 0.2 s, got none"):
            stream.receive(0.2)
        assert time.monotonic() - started > 0.15


def test_a_frame_that_trickles_is_a_timeout_and_comes_whole_later():
    server = open_server(local("deepgtav+tcp"))
    with closing(server), closing(connect(of_server(server, "deepgtav+tcp"), 7, 5)) as stream:
        server.receive(30.0)
        data = framed(image_body(RGB)) + framed(b"{}")
        server.write(data[:50])
        with pytest.raises(FrameTimeout):
            stream.receive(0.1)
        server.write(data[50:])
        np.testing.assert_array_equal(stream.receive(30.0).image, RGB)


def test_a_peer_that_leaves_in_mid_frame_is_gone():
    server = open_server(local("deepgtav+tcp"))
    with closing(server), closing(connect(of_server(server, "deepgtav+tcp"), 7, 5)) as stream:
        server.receive(30.0)
        server.write(framed(image_body(RGB))[:50])
        server.drop()
        with pytest.raises(ConnectError, match="connect again"):
            stream.receive(30.0)
        assert not server.write(b"more")


def test_bytes_that_are_no_frames_end_the_stream():
    server = open_server(local("deepgtav+tcp"))
    with closing(server), closing(connect(of_server(server, "deepgtav+tcp"), 7, 5)) as stream:
        server.receive(30.0)
        server.write(b"HTTP/1.1 400 Bad Request\r\n")
        with pytest.raises(WireFormatError, match="picture of 7x5"):
            stream.receive(30.0)


def test_over_zeromq_a_picture_of_another_size_is_refused_and_halves_are_left_out():
    server = open_server(local("deepgtav+zmq"))
    with closing(server), closing(connect(of_server(server, "deepgtav+zmq"), 7, 5)) as stream:
        server.send(b'{"index": 1}', b'{"index": 2}')
        server.send(image_body(RGB), b'{"index": 3}')
        assert stream.receive(30.0).fields == {"index": 3}
        assert stream.orphans == 2
        server.send(image_body(RGB), image_body(RGB + np.uint8(1)))
        server.send(b'{"index": 4}', image_body(RGB))
        frame = stream.receive(30.0)
        np.testing.assert_array_equal(frame.image, RGB + np.uint8(1))
        assert frame.fields == {"index": 4} and stream.orphans == 3
        server.send(b"{}", image_body(RGB)[:-1])
        assert stream.receive(30.0).fields == {}
        with pytest.raises(WireFormatError, match="picture of 7x5"):
            stream.receive(30.0)


def test_over_zeromq_commands_go_out_while_another_thread_waits_for_a_frame():
    server = open_server(local("deepgtav+zmq"))
    with closing(server), closing(connect(of_server(server, "deepgtav+zmq"), 7, 5)) as stream:
        waiting = threading.Thread(target=lambda: stream.receive(30.0), name="waiting")
        waiting.start()
        for number in range(50):
            stream.send(SetWeather(weather=str(number)))
        assert [message.weather for message in messages_at(server, 50)] == list(map(str, range(50)))
        server.send(image_body(RGB), b"{}")
        waiting.join(60)
        assert not waiting.is_alive()


def test_a_close_ends_a_wait_in_another_thread():
    server = open_server(local("deepgtav+tcp"))
    with closing(server), closing(connect(of_server(server, "deepgtav+tcp"), 7, 5)) as stream:
        errors = []

        def wait():
            try:
                stream.receive(30.0)
            except ConnectError as error:
                errors.append(error)

        waiting = threading.Thread(target=wait, name="waiting")
        waiting.start()
        time.sleep(0.1)
        stream.close()
        waiting.join(60)
        assert errors


def test_a_second_client_waits_or_is_hung_up_on():
    server = open_server(local("deepgtav+tcp"))
    with closing(server), closing(connect(of_server(server, "deepgtav+tcp"), 7, 5)):
        server.receive(30.0)
        second = connect(of_server(server, "deepgtav+tcp"), 7, 5)
        with closing(second):
            server.receive(0.0)
            with pytest.raises(FrameTimeout):
                second.receive(0.2)
            server.refuse_second = True
            server.receive(0.0)
            with pytest.raises(ConnectError):
                second.receive(30.0)
        assert server.clients == 1


def test_the_next_client_is_taken_once_the_first_has_left():
    server = open_server(local("deepgtav+tcp"))
    with closing(server):
        for number in (1, 2):
            with closing(connect(of_server(server, "deepgtav+tcp"), 7, 5)) as stream:
                stream.send(Start())
                assert messages_at(server, 1) == [Start()]
                assert server.clients == number
            while server.connected:
                server.receive(0.1)


def test_a_clients_message_of_more_than_the_games_buffer_is_refused():
    server = open_server(local("deepgtav+tcp"))
    with closing(server), closing(connect(of_server(server, "deepgtav+tcp"), 7, 5)) as stream:
        stream.send(b"x" * 4096)
        with pytest.raises(WireFormatError, match="1 to 4095 bytes"):
            messages_at(server, 1)
        assert not server.connected
        with pytest.raises(ConnectError):
            stream.receive(30.0)


def test_a_client_that_reads_nothing_is_dropped():
    server = open_server(local("deepgtav+tcp"), timeout_s=0.2)
    with closing(server), closing(connect(of_server(server, "deepgtav+tcp"), 7, 5)):
        server.receive(30.0)
        big, sent = bytes(32 << 20), True
        while sent:
            sent = server.send(big, b"{}")
        assert not server.connected


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_port_that_is_taken_is_reported(scheme):
    with (
        closing(open_server(local(scheme))) as server,
        pytest.raises(ConnectError, match="free port"),
    ):
        open_server(of_server(server, scheme))


def test_a_port_where_nobody_listens_is_reported():
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConnectError, match="expected a game at deepgtav"):
        connect(local("deepgtav+tcp", port), 7, 5, timeout_s=30.0)


def test_urls():
    assert Address.parse("deepgtav+zmq://127.0.0.1") == local("deepgtav+zmq", 8000)
    assert str(Address.parse("deepgtav+tcp://game.lan:8001")) == "deepgtav+tcp://game.lan:8001"
    for url in ("tcp://a:1", "deepgtav+tcp://", "deepgtav+tcp://a:b", "a", "deepgtav+tcp://a/b"):
        with pytest.raises(ConfigError, match="where the game listens"):
            Address.parse(url)


def test_a_zeromq_message_is_bounded_before_it_is_read():
    server = open_server(local("deepgtav+zmq"), limit=100)
    with closing(server), closing(connect(of_server(server, "deepgtav+zmq"), 7, 5)) as stream:
        stream.send(b"x" * 101)
        assert server.receive(0.5) == []
