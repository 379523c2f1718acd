"""What the relay adds to the protocol, there and back, and what is refused."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from damage import any_value, as_json, cases, changed, wrong
from msgspec import structs

from realmaster_live.bridges.gtav.protocol.stamp import (
    MAGIC,
    MAX_FRAMES,
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


@pytest.mark.parametrize(
    "stamp", [STAMP, structs.replace(STAMP, near_m=None, takes_realized=False)]
)
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
        {"time_s": 10**400},
        {"index": 10**400},
        {"index": -1},
        {"index": 1.5},
        {"source_size": [10**400, 1]},
        {"source_size": [1e308, 1]},
        {"near_m": 10**400},
        {"takes_realized": 1},
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


def realized(head, pixels=b"", size=None):
    text = head.encode()
    return MAGIC + struct.pack("<i", len(text) if size is None else size) + text + pixels


@pytest.mark.parametrize(
    "body",
    [
        realized('{"shape": [Infinity, 1, 1, 3], "timestamps": []}'),
        realized('{"shape": [1, 1, 1, 3], "timestamps": [' + "9" * 400 + "]}", b"abc"),
        realized('{"shape": [1, 1, 1, 3], "timestamps": [1e999]}', b"abc"),
        realized('{"shape": [1, 1, 1, 3], "timestamps": [NaN]}', b"abc"),
        realized('{"shape": [1, 1, 1, 3], "timestamps": [1e300]}', b"abc"),
        realized('{"shape": [1, 1, 1, 3], "timestamps": ["0"]}', b"abc"),
        realized('{"shape": [1, 1, 1, 4], "timestamps": [0]}', b"abcd"),
        realized('{"shape": [1, -1, -1, 3], "timestamps": [0]}', b"abc"),
        realized('{"shape": [1, 1.0, 1, 3], "timestamps": [0]}', b"abc"),
        realized('{"shape": [1, 1, 99999999, 3], "timestamps": [0]}', b"abc"),
        realized('{"shape": [1, 1, 1, 3], "timestamps": [0, 1]}', b"abc"),
        realized('{"shape": [1, 1, 1, 3]}', b"abc"),
        realized("[" * 9000),
        realized('"' + "x" * 20_000 + '"'),
        realized("[1, 2]", size=-1),
        realized("[1, 2]", size=2**31 - 1),
        realized(json.dumps({"shape": [65, 1, 1, 3], "timestamps": [0] * 65}), bytes(195)),
    ],
)
def test_a_head_that_is_no_chunks_is_refused(body):
    assert MAX_FRAMES == 64
    with pytest.raises(WireFormatError, match="expected a realized chunk"):
        decode_realized(body)


def check_any_chunk(body):
    try:
        realized = decode_realized(body)
    except WireFormatError as error:
        assert len(str(error)) < 1000
        return True
    assert realized.frames.ndim == 4 and len(realized.timestamps) == len(realized.frames)
    assert np.isfinite(realized.timestamps).all()
    return False


def check_any_stamp(found):
    try:
        stamp = read_stamp({STAMP_KEY: found})
    except WireFormatError as error:
        assert len(str(error)) < 1000
        return True
    assert stamp is None or np.isfinite([stamp.time_s, stamp.vfov_deg, stamp.near_m or 1]).all()
    return False


def check_a_chunk(rng):
    body = encode_realized(CHUNK)
    if rng.randrange(3):
        return check_any_chunk(changed(rng, body))
    head = {"shape": list(CHUNK.frames.shape), "timestamps": CHUNK.timestamps.tolist()}
    text = as_json(wrong(rng, head))
    return check_any_chunk(MAGIC + struct.pack("<i", len(text)) + text + CHUNK.frames.tobytes())


def check_a_stamp(rng):
    fields = structs.asdict(STAMP)
    return check_any_stamp(wrong(rng, fields) if rng.randrange(4) else any_value(rng, [*fields]))


@cases(few=300, many=20_000)
@pytest.mark.parametrize("check", [check_a_chunk, check_a_stamp])
def test_any_bytes_and_values_are_read_or_refused(fuzz, check):
    fuzz(check.__name__, check)
