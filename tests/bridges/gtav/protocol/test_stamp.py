"""What the relay adds to the protocol, there and back, and what is refused."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realmaster_live.bridges.gtav.protocol.stamp import (
    STAMP_KEY,
    Stamp,
    decode_realized,
    encode_realized,
    is_realized,
    read_stamp,
)
from realmaster_live.errors import WireFormatError
from realmaster_live.frames.chunk import Chunk

STAMP = Stamp(
    index=7, time_s=12.5, source_size=(1920, 1080), vfov_deg=50.0, near_m=0.15, takes_realized=True
)
CHUNK = Chunk(
    index=0,
    camera="front",
    frames=np.random.default_rng(0).integers(0, 256, (2, 3, 5, 3), np.uint8),
    frame_ids=np.arange(2),
    timestamps=np.array([0.5, 0.55]),
    captured_at=np.zeros(2),
    intrinsics=np.eye(3),
    cam_to_world=np.stack([np.eye(4)] * 2),
)


@pytest.mark.parametrize("stamp", [STAMP, replace(STAMP, near_m=None, takes_realized=False)])
def test_a_stamp_comes_back(stamp):
    fields = json.loads(json.dumps(stamp.beside({"speed": 1.0})))
    assert fields["speed"] == 1.0
    assert read_stamp(fields) == stamp


def test_a_game_has_no_stamp():
    assert read_stamp({"index": 3}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"index": "x"},
        {"time_s": float("nan")},
        {"source_size": [1920]},
        {"source_size": [0, 5]},
        {"vfov_deg": 180.0},
        {"near_m": -1.0},
        {"near_m": []},
    ],
)
def test_a_stamp_that_cannot_be_is_refused(change):
    fields = STAMP.beside({})
    fields[STAMP_KEY] |= change
    with pytest.raises(WireFormatError, match="expected a relay's stamp"):
        read_stamp(fields)
    with pytest.raises(WireFormatError, match="same version"):
        read_stamp({STAMP_KEY: 3})


def test_a_realized_chunk_comes_back():
    body = encode_realized(CHUNK)
    assert is_realized(body) and not is_realized(b'{"stop": null}')
    realized = decode_realized(body)
    np.testing.assert_array_equal(realized.frames, CHUNK.frames)
    np.testing.assert_array_equal(realized.timestamps, CHUNK.timestamps)


def test_the_bytes_are_as_documented():
    body = encode_realized(CHUNK)
    size = struct.unpack("<i", body[4:8])[0]
    head = json.loads(body[8 : 8 + size])
    assert body[:4] == b"RMC1"
    assert head == {"shape": [2, 3, 5, 3], "timestamps": [0.5, 0.55]}
    assert body[8 + size :] == CHUNK.frames.tobytes()


def test_frames_that_are_a_part_of_others_are_sent_in_order():
    wide = np.random.default_rng(1).integers(0, 256, (2, 3, 9, 3), np.uint8)
    realized = decode_realized(encode_realized(replace(CHUNK, frames=wide[:, :, 2:7])))
    np.testing.assert_array_equal(realized.frames, wide[:, :, 2:7])


@pytest.mark.parametrize("cut", [0, 3, 4, 8, 20, -1])
def test_a_body_that_is_cut_short_is_refused(cut):
    with pytest.raises(WireFormatError, match="expected a realized chunk"):
        decode_realized(encode_realized(CHUNK)[:cut])


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=80), st.integers(0, 90))
def test_any_bytes_are_a_chunk_or_an_error(noise, at):
    body = bytearray(encode_realized(CHUNK))
    body[at : at + len(noise)] = noise
    try:
        realized = decode_realized(bytes(body))
    except WireFormatError:
        return
    assert realized.frames.ndim == 4 and len(realized.timestamps) == len(realized.frames)
