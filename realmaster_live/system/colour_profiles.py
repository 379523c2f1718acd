"""The ICC profile in a PNG or JPEG file: what its colours are called (ICC.1:2022, section 7)."""

from __future__ import annotations

import struct
import zlib

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
ICC = b"ICC_PROFILE\0"
MOST = 1 << 20  # bytes of a profile that are looked at
MOST_TAGS = 100


def colours_of(data: bytes) -> str:
    """Return the name of a picture file's colour profile; "" for none, and for sRGB.

    A profile whose name cannot be read is called unnamed.
    """
    try:
        profile = _of_png(data) if data.startswith(PNG) else _of_jpeg(data)
        name = _described(profile) if profile else "sRGB"
    except (struct.error, zlib.error, ValueError):
        return "unnamed"
    return "" if "srgb" in name.lower() else name.strip("\0 ")[:80] or "unnamed"


def _of_png(data: bytes) -> bytes:
    at = len(PNG)
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            return b""
        if kind == b"iCCP":
            packed = data[at + 8 : at + 8 + size].partition(b"\0")[2][1:]
            return zlib.decompressobj().decompress(packed, MOST)
        at += size + 12
    return b""


def _of_jpeg(data: bytes) -> bytes:
    at = len(JPEG) if data.startswith(JPEG) else len(data)
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        size = int.from_bytes(data[at + 2 : at + 4])
        part = data[at + 4 : at + 2 + size]
        if data[at + 1] == 0xE2 and part.startswith(ICC):
            return part[len(ICC) + 2 :]
        at += 2 + size
    return b""


def _described(profile: bytes) -> str:
    """Return a profile's description, of version 2 (ASCII) or 4 (UTF-16, the first language)."""
    (count,) = struct.unpack_from(">I", profile, 128)
    for number in range(min(count, MOST_TAGS)):
        tag, at, _ = struct.unpack_from(">4sII", profile, 132 + 12 * number)
        if tag != b"desc":
            continue
        if profile[at : at + 4] == b"mluc":
            size, start = struct.unpack_from(">II", profile, at + 20)
            return profile[at + start : at + start + size].decode("utf-16-be")
        (size,) = struct.unpack_from(">I", profile, at + 8)
        return profile[at + 12 : at + 12 + size].decode("latin-1")
    return "unnamed"
