"""The streaming layer: tokens, message heads, image messages. All little-endian and packed.

A subscriber connects, sends a 4-byte stream id, and from then on only reads messages: a 4-byte
length, a sensor head of 48 bytes, a body.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import WireFormatError

LENGTH = struct.Struct("<I")
TOKEN = struct.Struct("<IHBB16s")
HEAD = struct.Struct("<QQd6f")
IMAGE = struct.Struct("<IIf")
PIXELS_AT = LENGTH.size + HEAD.size + IMAGE.size  # bytes of an image message before its pixels

TCP = 1
ADDRESS_UNSET, ADDRESS_IPV4 = 0, 1  # unset: the client dials the host of its RPC connection


class Token(NamedTuple):
    """Where a stream is served; `address` is "" for the host of the RPC connection."""

    stream: int
    port: int
    address: str = ""

    def pack(self) -> bytes:
        """Return the 24 bytes."""
        if not self.address:
            return TOKEN.pack(self.stream, self.port, TCP, ADDRESS_UNSET, b"")
        packed = socket.inet_aton(self.address)
        return TOKEN.pack(self.stream, self.port, TCP, ADDRESS_IPV4, packed)


def unpack_token(data: bytes) -> Token:
    """Return the token of 24 bytes; raise WireFormatError for what is no TCP token on IPv4."""
    if len(data) != TOKEN.size:
        raise WireFormatError(
            f"expected a stream token of {TOKEN.size} bytes, got {len(data)}: "
            "use a supported CARLA version"
        )
    stream, port, protocol, kind, address = TOKEN.unpack(data)
    if protocol != TCP or kind not in (ADDRESS_UNSET, ADDRESS_IPV4):
        raise WireFormatError(
            f"expected a TCP stream on IPv4, got protocol {protocol} and address type {kind}: "
            "run the simulator with TCP streaming on IPv4"
        )
    return Token(stream, port, socket.inet_ntoa(address[:4]) if kind == ADDRESS_IPV4 else "")


class Head(NamedTuple):
    """A message's head: `pose` is x, y, z in metres and pitch, yaw, roll in degrees."""

    sensor_type: int
    frame: int
    time_s: float
    pose: tuple[float, float, float, float, float, float]


def message(head: Head, body: bytes) -> bytes:
    """Return a whole message, length included."""
    return b"".join((LENGTH.pack(HEAD.size + len(body)), HEAD.pack(*head[:3], *head.pose), body))


def read_head(data: bytes | bytearray | memoryview, offset: int = LENGTH.size) -> Head:
    """Return the head of a message that lies `offset` bytes into `data`."""
    sensor_type, frame, time_s, *pose = HEAD.unpack_from(data, offset)
    return Head(sensor_type, frame, time_s, tuple(pose))


def image_buffer(width: int, height: int, bytes_per_pixel: int = 4) -> bytearray:
    """Return room for an image message, its length already filled in."""
    size = PIXELS_AT + width * height * bytes_per_pixel
    buffer = bytearray(size)
    LENGTH.pack_into(buffer, 0, size - LENGTH.size)
    return buffer


def stamp_image(buffer: bytearray, head: Head, width: int, height: int, fov_deg: float) -> None:
    """Write the head and the image head into an image message."""
    HEAD.pack_into(buffer, LENGTH.size, *head[:3], *head.pose)
    IMAGE.pack_into(buffer, LENGTH.size + HEAD.size, width, height, fov_deg)


def bgra_of(buffer: bytearray, width: int, height: int) -> NDArray[np.uint8]:
    """Return the (height, width, 4) uint8 pixels of an image message, writable in place."""
    pixels = np.frombuffer(buffer, np.uint8, width * height * 4, PIXELS_AT)
    return pixels.reshape(height, width, 4)


def flow_of(buffer: bytearray, width: int, height: int) -> NDArray[np.float32]:
    """Return the (height, width, 2) float32 pixels of an optical flow message, in place."""
    pixels = np.frombuffer(buffer, "<f4", width * height * 2, PIXELS_AT)
    return pixels.reshape(height, width, 2)
