"""While a client loads a world, its Traffic Manager's calls wait; everybody else's do not."""

import socket

import msgpack
import pytest

LOAD = ("load_new_episode", "", False, 0)
MANAGER = ("add_traffic_manager_running", ["127.0.0.1", 8765])
RELOAD = ["version", "get_episode_info", ("get_sensor_token", 1)]


@pytest.fixture(scope="module")
def server(running):
    with running("--no-raster") as server:
        yield server


def answered(server, calls):
    """Send calls at once, numbered from 0, and return the order in which they are answered."""
    calls = [call if isinstance(call, tuple) else (call,) for call in calls]
    with socket.create_connection((server.host, server.port), timeout=60.0) as sock:
        for number, (name, *arguments) in enumerate(calls):
            sock.sendall(msgpack.packb([0, number, name, [[False], *arguments]]))
        answers, order = msgpack.Unpacker(), []
        while len(order) < len(calls):
            answers.feed(sock.recv(1 << 16))
            order += [message[1] for message in answers]
    return order


def test_a_managers_calls_wait_for_the_next_episode(server):
    calls = [MANAGER, LOAD, "get_episode_settings", "get_weather_parameters", *RELOAD]
    assert answered(server, calls) == [0, 1, 4, 5, 6, 2, 3]


def test_they_do_not_wait_for_ever(server):
    assert answered(server, [MANAGER, LOAD, "get_episode_settings"]) == [0, 1, 2]


@pytest.mark.parametrize(
    "first", [[LOAD], [MANAGER], [MANAGER, ("load_new_episode", "Town99", False, 0)]]
)
def test_no_call_waits_without_a_manager_or_a_new_world(server, first):
    calls = [*first, "get_episode_settings", *RELOAD]
    assert answered(server, calls) == list(range(len(calls)))
