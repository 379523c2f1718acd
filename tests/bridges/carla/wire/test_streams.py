import numpy as np
import pytest

from realmaster_live.bridges.carla.wire.episode_state import (
    EPISODE,
    LIGHT,
    RECORD,
    VEHICLE,
    WALKER,
    ActorRecord,
    EpisodeState,
    light_extra,
    pack_episode,
    vehicle_extra,
    walker_extra,
)
from realmaster_live.bridges.carla.wire.layouts import LAYOUTS, layout_of
from realmaster_live.bridges.carla.wire.streams import (
    HEAD,
    IMAGE,
    PIXELS_AT,
    TOKEN,
    Head,
    Token,
    bgra_of,
    flow_of,
    image_buffer,
    message,
    read_head,
    stamp_image,
    unpack_token,
)
from realmaster_live.errors import ConfigError, WireFormatError

POSE = (1.0, -2.0, 3.5, 10.0, -20.0, 30.0)


def test_sizes_are_the_protocols():
    assert (TOKEN.size, HEAD.size, IMAGE.size, PIXELS_AT) == (24, 48, 12, 64)
    assert (EPISODE.size, RECORD.size) == (36, 119)
    assert (VEHICLE.size, WALKER.size, LIGHT.size) == (30, 17, 54)


def test_tokens_come_back():
    for token in (Token(7, 2001), Token(2**32 - 1, 65535, "192.168.1.20")):
        assert unpack_token(token.pack()) == token
    assert Token(7, 2001).pack() == bytes([7, 0, 0, 0, 0xD1, 7, 1, 0]) + bytes(16)


@pytest.mark.parametrize(
    "data", [b"", bytes(23), bytes(24), Token(1, 2).pack()[:6] + b"\x01\x02" + bytes(16)]
)
def test_bad_tokens_are_refused(data):
    with pytest.raises(WireFormatError):
        unpack_token(data)


def test_an_image_message_is_drawn_in_place():
    buffer = image_buffer(5, 3)
    stamp_image(buffer, Head(13, 99, 1.5, POSE), 5, 3, 77.0)
    pixels = bgra_of(buffer, 5, 3)
    pixels[...] = np.arange(60).reshape(3, 5, 4)
    assert int.from_bytes(buffer[:4], "little") == len(buffer) - 4 == 48 + 12 + 60
    assert read_head(buffer) == Head(13, 99, 1.5, POSE)
    assert IMAGE.unpack_from(buffer, 52) == (5, 3, 77.0)
    assert bytes(buffer[64:]) == bytes(range(60))
    assert flow_of(image_buffer(5, 3, 8), 5, 3).shape == (3, 5, 2)


def test_a_message_carries_its_length_and_head():
    data = message(Head(4, 12, 0.6, POSE), b"body")
    assert int.from_bytes(data[:4], "little") == len(data) - 4
    assert read_head(data) == Head(4, 12, 0.6, POSE) and data.endswith(b"body")


def test_an_episode_message_has_a_record_for_each_actor():
    extra = vehicle_extra((0.5, -0.1, 0.0, False, True, False, 2), 30.0, 0, 17)
    one = ActorRecord(34, POSE[:3], POSE[3:], (1, 2, 3), (4, 5, 6), (7, 8, 9), extra)
    two = ActorRecord(35, POSE[:3], POSE[3:], (0, 0, 0), (0, 0, 0), (0, 0, 0))
    data = pack_episode(EpisodeState(17, 2, 40, 2.0, 123.0, 0.05, True, [one, two]))
    assert len(data) == 4 + 48 + 36 + 2 * 119
    episode, _, delta, *_, flags = EPISODE.unpack_from(data, 52)
    assert (episode, flags) == (2, 1) and delta == pytest.approx(0.05)
    number, state, *numbers, tail = RECORD.unpack_from(data, 88)
    assert (number, state) == (34, 1) and numbers[:6] == list(POSE) and len(tail) == 54
    assert VEHICLE.unpack_from(tail)[3:6] == (False, True, False)
    assert VEHICLE.unpack_from(tail)[8:11] == (0, True, 17)
    walker = walker_extra((1.0, 0.0, 0.0), 1.5, True)
    assert WALKER.unpack(walker) == (1.0, 0.0, 0.0, 1.5, True)
    light = LIGHT.unpack(light_extra("12", (10.0, 3.0, 2.0), 4.0, True, 2))
    assert light[0].rstrip(b"\0") == b"12" and light[-2:] == (True, 2)


def test_what_differs_between_the_versions():
    old, new = layout_of("0.9.15"), layout_of("0.9.16")
    assert (old.sensor_ids["world_observer"], new.sensor_ids["world_observer"]) == (16, 17)
    assert old.sensor_ids["rgb"] == new.sensor_ids["rgb"] == 13
    kinds = ("bool", "int", "float", "string", "color")
    assert [old.attribute_kind(kind) for kind in kinds] == [0, 1, 2, 3, 4]
    assert [new.attribute_kind(kind) for kind in kinds] == [1, 2, 3, 4, 5]
    assert set(LAYOUTS) == {"0.9.15", "0.9.16"}
    with pytest.raises(ConfigError, match=r"0\.9\.14"):
        layout_of("0.9.14")
