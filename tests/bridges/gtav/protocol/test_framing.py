import json

import numpy as np
import pytest
from game_server import encode_pair
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realmaster_live.bridges.gtav.protocol.framing import (
    MAX_FIELDS,
    FrameDecoder,
    MessageDecoder,
    bgr_view,
    buffer_field,
    depth_ndc,
    framed,
    image_body,
    read_pair,
    stencil,
    stride_of,
)
from realmaster_live.errors import WireFormatError

# 3 x 2 pixels, by hand: B, G, R from the top, rows of 9 bytes padded to 12
GOLDEN_PICTURE = bytes.fromhex(
    "18000000"  # 24 bytes follow, little-endian
    "0000ff 00ff00 ff0000 000000"  # red, green, blue, padding
    "030201 060504 090807 000000"  # (1, 2, 3), (4, 5, 6), (7, 8, 9), padding
)
GOLDEN_FIELDS = b'\x1b\x00\x00\x00{"speed": 2.5, "peds": []}\n'
RGB = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]], np.uint8
)


def test_golden_pair_gives_the_picture_and_its_fields():
    (frame,) = FrameDecoder(3, 2).feed(GOLDEN_PICTURE + GOLDEN_FIELDS)
    np.testing.assert_array_equal(frame.image, RGB)
    assert frame.fields == {"speed": 2.5, "peds": []}
    assert (frame.image_bytes, frame.fields_bytes) == (24, 27)
    assert image_body(RGB) == GOLDEN_PICTURE[4:]


def test_golden_buffers():
    depth = np.array([[1.0, 0.5], [0.0, 2.0]], np.float32)  # 3f800000 3f000000 0 40000000
    fields = {"DepthBuffer": "AACAPwAAAD8AAAAAAAAAQA==", "StencilBuffer": "AYIHAA=="}
    got = depth_ndc(fields, 2, 2)
    assert got is not None and got.dtype == np.float32
    np.testing.assert_array_equal(got, depth)
    assert stencil(fields, 2, 2).tolist() == [[1, 130], [7, 0]]
    assert buffer_field(depth) == fields["DepthBuffer"]
    assert buffer_field(np.array([[1, 130], [7, 0]], np.uint8)) == fields["StencilBuffer"]


def test_the_rows_of_an_odd_width_are_padded():
    assert [stride_of(width) for width in (1, 2, 3, 4, 321, 1920)] == [4, 8, 12, 12, 964, 5760]


def test_the_last_of_duplicate_keys_holds():
    text = b'{"bbox2d": [], "DepthBuffer": [], "bbox2d": "Car", "DepthBuffer": "AACAPw=="}'
    (frame,) = FrameDecoder(3, 2).feed(GOLDEN_PICTURE + framed(text))
    assert frame.fields["bbox2d"] == "Car"
    assert depth_ndc(frame.fields, 1, 1)[0, 0] == 1.0


def test_empty_annotations_are_no_buffers():
    assert depth_ndc({"DepthBuffer": []}, 4, 4) is None
    assert stencil({}, 4, 4) is None


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(1, 9),
    st.integers(1, 5),
    st.lists(
        st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text()), max_size=3
    ),
    st.lists(st.integers(1, 60), min_size=1, max_size=30),
)
def test_frames_come_out_whole_however_they_are_cut(width, height, message, cuts):
    generator = np.random.default_rng(7)
    images = [generator.integers(0, 256, (height, width, 3), np.uint8) for _ in message]
    data = b"".join(map(encode_pair, images, message))
    decoder, found, at, turn = FrameDecoder(width, height), [], 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        found += decoder.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert [frame.fields for frame in found] == message
    for frame, image in zip(found, images, strict=True):
        np.testing.assert_array_equal(frame.image, image)


def test_room_and_advance_use_the_same_memory_for_every_frame():
    decoder, addresses = FrameDecoder(3, 2), set()
    for number in range(3):
        data = memoryview(encode_pair(RGB + np.uint8(number), {"index": number}))
        while data:
            room = decoder.room()
            count = min(len(room), len(data), 5)
            room[:count] = data[:count]
            frame, data = decoder.advance(count), data[count:]
        assert frame is not None and frame.fields == {"index": number}
        np.testing.assert_array_equal(frame.image, RGB + np.uint8(number))
        addresses.add(frame.bgr.ctypes.data)
    assert len(addresses) == 1


@pytest.mark.parametrize("prefix", ["ffffffff", "00000080", "17000000", "00000000", "ffffff7f"])
def test_a_picture_of_another_length_is_refused_before_it_is_read(prefix):
    decoder = FrameDecoder(3, 2)
    with pytest.raises(WireFormatError, match="picture of 3x2, 24 bytes, got a length of"):
        list(decoder.feed(bytes.fromhex(prefix)))
    with pytest.raises(WireFormatError, match="connect again"):
        list(decoder.feed(b"more"))


@pytest.mark.parametrize("size", [-1, 0, 1, MAX_FIELDS + 1, 2**31 - 1, -(2**31)])
def test_json_of_another_length_is_refused_before_it_is_read(size):
    with pytest.raises(WireFormatError, match=f"got a length of {size}:"):
        list(FrameDecoder(3, 2).feed(GOLDEN_PICTURE + size.to_bytes(4, "little", signed=True)))


@pytest.mark.parametrize(
    "body",
    [b'{"speed": 2.', b"[1, 2]", b"null", b"\xff\xfe\xfd", b"[" * 60000, b"9" * 5000, b'{"a": 1}x'],
)
def test_json_that_is_no_object_is_refused(body):
    with pytest.raises(WireFormatError, match="expected a JSON object"):
        list(FrameDecoder(3, 2).feed(GOLDEN_PICTURE + framed(body)))


def test_whole_messages_of_another_size_are_refused():
    assert read_pair(GOLDEN_PICTURE[4:], b"{}", 3, 2).image.tolist() == RGB.tolist()
    with pytest.raises(WireFormatError, match="picture of 4x2"):
        read_pair(GOLDEN_PICTURE[4:-1], b"{}", 4, 2)
    with pytest.raises(WireFormatError):
        bgr_view(b"", 3, 2)


@pytest.mark.parametrize("text", ["AAAA", "A===", "no base64!", 7, {"a": 1}, "ä" * 8])
def test_buffers_of_another_size_are_refused(text):
    with pytest.raises(WireFormatError, match="DepthBuffer"):
        depth_ndc({"DepthBuffer": text}, 2, 2)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 50))
def test_a_clients_messages_come_out_whole_however_they_are_cut(bodies, size):
    data, decoder, found = b"".join(map(framed, bodies)), MessageDecoder(), []
    for start in range(0, len(data), size):
        found += decoder.feed(data[start : start + size])
    assert found == bodies


@pytest.mark.parametrize("size", [-1, 0, 4096, 2**31 - 1])
def test_a_clients_message_is_bounded(size):
    with pytest.raises(WireFormatError, match=f"1 to 4095 bytes, got a length of {size}:"):
        list(MessageDecoder().feed(size.to_bytes(4, "little", signed=True)))
    assert list(MessageDecoder().feed(framed(b"x" * 4095))) == [b"x" * 4095]


def test_the_fields_of_a_pair_are_what_json_reads():
    facts = {"index": 3, "CameraPosition": [1.5, -2.0, 30.25], "bbox2d": "Car 0 0\n"}
    assert json.loads(encode_pair(RGB, facts)[32:]) == facts
