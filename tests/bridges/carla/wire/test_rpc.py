import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realmaster_live.bridges.carla.wire.rpc import (
    VOID,
    Decoder,
    Request,
    encode_answer,
    encode_request,
    value,
    value_refused,
    void_refused,
)
from realmaster_live.errors import WireFormatError


def test_bytes_are_those_of_the_real_client():
    seen = bytes.fromhex("940001a776657273696f6e9191c2")
    assert list(Decoder().feed(seen)) == [Request(1, "version", False, [])]
    assert encode_request(Request(1, "version", False, [])) == seen
    assert encode_answer(1, value("0.9.16")) == bytes.fromhex("940101c0919201a6302e392e3136")
    assert encode_answer(7, VOID) == bytes.fromhex("940107c09191c2")
    token = bytes(range(24))
    assert encode_answer(3, value([token])) == bytes.fromhex("940103c091920191c418") + token


def test_refusals_have_the_shape_the_client_raises_from():
    assert value_refused("no") == [[0, ["no"]]]
    assert void_refused("no") == [[True, ["no"]]]
    assert msgpack.unpackb(encode_answer(5, None, "what?")) == [1, 5, "what?", None]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**32 - 1),
            st.text(max_size=20),
            st.booleans(),
            st.lists(st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=30)),
        ),
        max_size=5,
    ),
    st.integers(1, 40),
)  # fmt: skip
def test_requests_come_out_whole_however_they_are_cut(calls, size):
    requests = [Request(*call) for call in calls]
    data = b"".join(map(encode_request, requests))
    decoder, found = Decoder(), []
    for start in range(0, len(data), size):
        found += decoder.feed(data[start : start + size])
    assert found == requests


@pytest.mark.parametrize(
    "message", [7, [], [1, 2, 3, 4], [0, "1", "f", [[False]]], [0, 1, "f", []], [0, 1, "f", [[0]]]]
)
def test_other_messages_are_told_apart(message):
    with pytest.raises(WireFormatError, match="request"):
        list(Decoder().feed(msgpack.packb(message)))
