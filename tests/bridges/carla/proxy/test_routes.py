"""Tokens in answers: which are led to the proxy, and that nothing else changes."""

import pytest

from realmaster_live.bridges.carla.proxy.routes import Routes
from realmaster_live.bridges.carla.wire.rpc import encode_answer, result_of, value
from realmaster_live.bridges.carla.wire.streams import ADDRESS_UNSET, TOKEN, Token

HOST, PORT = "10.0.0.5", 3001


def actor(token: bytes, type_id: str = "sensor.camera.rgb") -> list:
    description = [7, type_id, [["role_name", 3, "front"], ["fov", 2, "90"]]]
    box = [[0.0] * 3, [1.0] * 3, [0.0] * 3, 5]
    return [5, 0, description, box, b"\x01" * 24, token]  # tags as long as a token


def rewritten(name: str, result, *, every: bool = False, routes=None) -> tuple[bytes, bytes]:
    answer = encode_answer(3, result)
    routes = routes or Routes(HOST, PORT)
    return answer, routes.rewritten(name, answer, every_stream=every)


@pytest.mark.parametrize("name", ["spawn_actor", "spawn_actor_with_parent", "get_actors_by_id"])
def test_cameras_lead_to_the_proxy_and_others_to_the_server(name):
    for type_id, expected in (
        ("sensor.camera.rgb", Token(9, PORT)),
        ("sensor.camera.depth", Token(9, 2001, HOST)),
    ):
        one = actor(Token(9, 2001).pack(), type_id)
        many = [one] if name == "get_actors_by_id" else one
        before, after = rewritten(name, value(many))
        result = result_of(after)[0][1]
        got = result[0] if name == "get_actors_by_id" else result
        assert got[5] == expected.pack() and got[:5] == one[:5]
        assert len(after) == len(before)


def test_the_stream_behind_a_token_is_what_the_actor_said():
    routes = Routes(HOST, PORT)
    rewritten("spawn_actor", value(actor(Token(9, 2001).pack())), routes=routes)
    _, after = rewritten("get_sensor_token", value([Token(9, 2001).pack()]), routes=routes)
    assert result_of(after) == value([Token(9, PORT).pack()])
    stream = routes.find(9)
    assert (stream.host, stream.port) == (HOST, 2001)
    assert stream.attributes == {"role_name": "front", "fov": "90"}
    assert routes.find(10) is None


def test_a_server_of_another_gpu_keeps_its_address():
    routes = Routes(HOST, PORT)
    rewritten("spawn_actor", value(actor(Token(9, 2001, "10.0.0.6").pack())), routes=routes)
    assert routes.find(9).host == "10.0.0.6"
    _, after = rewritten(
        "get_sensor_token", value([Token(8, 2002, "10.0.0.6").pack()]), routes=routes
    )
    assert result_of(after) == value([Token(8, 2002, "10.0.0.6").pack()])


def test_gbuffers_and_the_worlds_state_lead_to_the_server_unless_all_are_asked_for():
    state = [11, [Token(1, 2001).pack()]]
    for name, result in (
        ("get_gbuffer_token", [Token(1, 2001).pack()]),
        ("get_episode_info", state),
    ):
        for every, expected in ((False, Token(1, 2001, HOST)), (True, Token(1, PORT))):
            before, after = rewritten(name, value(result), every=every)
            assert after == before.replace(Token(1, 2001).pack(), expected.pack())


@pytest.mark.parametrize("protocol, kind", [(2, ADDRESS_UNSET), (1, 2)])
def test_a_stream_by_udp_or_ipv6_is_left_and_named(protocol, kind, caplog):
    token = TOKEN.pack(9, 2001, protocol, kind, b"")
    routes = Routes(HOST, PORT)
    for _ in range(2):
        before, after = rewritten("spawn_actor", value(actor(token)), routes=routes)
        assert after == before
    assert caplog.text.count("not realized") == 1


@pytest.mark.parametrize(
    "result", [None, [[0, ["no"]]], [[1, None]], [[1, [1, 2]]], [[1, [actor(b"")]]], "nonsense"]
)
def test_answers_without_tokens_are_left(result):
    for name in ("spawn_actor", "get_actors_by_id", "get_sensor_token", "get_episode_info"):
        before, after = rewritten(name, result)
        assert after == before
