"""Colour profiles in PNG and JPEG files, made byte by byte."""

import logging
import struct
import zlib

import cv2
import numpy as np
import pytest

from realmaster_live.replay.footage import Reading
from realmaster_live.replay.kinds import find_footage
from realmaster_live.system.colour_profiles import colours_of


def profile(name, version):
    """The header and the description of an ICC profile."""
    if version == 2:
        text = name.encode() + b"\0"
        desc = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text
    else:
        text = name.encode("utf-16-be")
        desc = b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text
    return bytes(128) + struct.pack(">I4sII", 1, b"desc", 144, len(desc)) + desc


def with_profile(suffix, icc):
    data = cv2.imencode(suffix, np.full((64, 96, 3), 90, np.uint8))[1].tobytes()
    if suffix == ".png":
        body = b"iCCP" + b"icc\0\0" + zlib.compress(icc)
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return data[:33] + chunk + data[33:]
    part = b"ICC_PROFILE\0\1\1" + icc
    return data[:2] + b"\xff\xe2" + struct.pack(">H", len(part) + 2) + part + data[2:]


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_other_colours_than_srgb_are_named(suffix, version):
    assert colours_of(with_profile(suffix, profile("Display P3", version))) == "Display P3"
    assert colours_of(with_profile(suffix, profile("sRGB IEC61966-2.1", version))) == ""
    assert colours_of(cv2.imencode(suffix, np.zeros((8, 8, 3), np.uint8))[1].tobytes()) == ""


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_damaged_profiles_end_in_a_name(suffix):
    whole = with_profile(suffix, profile("Adobe RGB (1998)", 2))
    rng = np.random.default_rng(1)
    for _ in range(300):
        data = bytearray(whole[: int(rng.integers(1, len(whole)))])
        for at in rng.integers(0, len(data), 3).tolist():
            data[at] = int(rng.integers(256))
        assert isinstance(colours_of(bytes(data)), str)
    assert colours_of(with_profile(suffix, b"short")) == "unnamed"


def test_a_folder_of_pictures_of_other_colours_warns_once(tmp_path, caplog):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(with_profile(".png", profile("Display P3", 4)))
    with caplog.at_level(logging.WARNING):
        find_footage(str(tmp_path), Reading(fps=10.0))
    told = [record.message for record in caplog.records if "Display P3" in record.message]
    assert len(told) == 1 and "sRGB" in told[0]
