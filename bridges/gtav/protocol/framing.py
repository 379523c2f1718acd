"""DeepGTAV's framing and its frames, without sockets; `messages` has what clients send.

Over TCP every message, in both directions, is a little-endian int32 and as many bytes. After a
start the game sends pairs: the picture, rows of B, G, R from the top, padded to 4 bytes; then a
JSON object of what was requested. The two belong together by their order alone. Over ZeroMQ the
same bodies are whole messages without the length.
"""

from __future__ import annotations

import binascii
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.protocol.messages import MAX_MESSAGE
from realmaster_live.errors import WireFormatError

LENGTH = struct.Struct("<i")
MAX_FIELDS = 64 << 20  # bytes: depth and stencil of 3840 x 2160 are 55e6 in base64
DEPTH, STENCIL = "DepthBuffer", "StencilBuffer"
Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, kw_only=True)
class GameFrame:
    """One pair.

    Attributes:
        bgr: (H, W, 3) uint8 in the game's order, rows not contiguous; the function that returns
            the frame says who owns the memory.
        fields: the JSON object. image_bytes, fields_bytes: sizes of the two messages.
    """

    bgr: NDArray[np.uint8]
    fields: Mapping[str, Any]
    image_bytes: int
    fields_bytes: int

    @property
    def image(self) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 sRGB in memory of its own."""
        return np.ascontiguousarray(self.bgr[..., ::-1])


def stride_of(width: int) -> int:
    """Return the bytes of one row of a picture, padding included."""
    return (3 * width + 3) // 4 * 4


def bgr_view(body: Buffer, width: int, height: int) -> NDArray[np.uint8]:
    """Return the (H, W, 3) uint8 pixels of a picture's message, in place.

    Raises:
        WireFormatError: the message is of another size.
    """
    stride = stride_of(width)
    if len(body) != stride * height:
        raise _other_size(len(body), width, height)
    rows = np.frombuffer(body, np.uint8).reshape(height, stride)
    return rows[:, : 3 * width].reshape(height, width, 3)


def read_fields(body: Buffer) -> dict[str, Any]:
    """Return the JSON object of a message; of a key that occurs twice the last value counts."""
    try:
        fields = json.loads(str(body, "utf-8"))  # takes NaN, which a harness may write, as well
    except (ValueError, RecursionError) as error:
        raise WireFormatError(
            f"expected a JSON object of {len(body)} bytes, got text that does not parse ({error}): "
            "the game was cut off, connect again"
        ) from error
    if not isinstance(fields, dict):
        raise WireFormatError(
            f"expected a JSON object after the picture, got {repr(fields)[:60]}: "
            "connect to a DeepGTAV server"
        )
    return fields


def read_pair(image: Buffer, fields: Buffer, width: int, height: int) -> GameFrame:
    """Return the frame of two whole messages; its pixels stay in `image`."""
    return GameFrame(
        bgr=bgr_view(image, width, height),
        fields=read_fields(fields),
        image_bytes=len(image),
        fields_bytes=len(fields),
    )


def depth_ndc(
    fields: Mapping[str, Any], width: int, height: int
) -> NDArray[np.float32] | None:  # (H, W), 1 at the near plane, 0 at the sky
    """Return the raw depth buffer, or None where the message has none."""
    return _buffer(fields, DEPTH, np.dtype("<f4"), width, height)


def stencil(
    fields: Mapping[str, Any], width: int, height: int
) -> NDArray[np.uint8] | None:  # (H, W), flags in the upper four bits
    """Return the raw stencil buffer, or None where the message has none."""
    return _buffer(fields, STENCIL, np.dtype(np.uint8), width, height)


class FrameDecoder:
    """Turns a game's bytes into frames, however they are split.

    `room` and `advance` avoid a copy: a socket receives straight into the decoder's memory,
    which is allocated once, and `bgr` of a frame is that memory, valid until the next `advance`.
    A decoder that has raised has lost its place in the stream: close the connection.
    """

    def __init__(self, width: int, height: int, *, max_fields: int = MAX_FIELDS) -> None:
        self.width, self.height, self.max_fields = width, height, max_fields
        self._length = bytearray(LENGTH.size)
        self._image = bytearray(stride_of(width) * height)
        self._fields = bytearray(MAX_MESSAGE)
        self._parts = self._whole_pair()
        self._room = next(self._parts)
        self._done: GameFrame | None = None

    def room(self) -> memoryview:
        """Return where to put the next bytes: at least one."""
        return self._room

    def advance(self, count: int) -> GameFrame | None:
        """Count bytes that were put into `room`; return the frame that they complete.

        Raises:
            WireFormatError: a length or a message is wrong.
        """
        self._room = self._room[count:]
        if not self._room:
            room = next(self._parts, None)
            if room is None:
                raise WireFormatError(
                    "expected no bytes after those that were no DeepGTAV, got more: connect again"
                )
            self._room = room
        frame, self._done = self._done, None
        return frame

    def feed(self, data: Buffer) -> Iterator[GameFrame]:
        """Take bytes; yield every frame that they complete, in memory of its own."""
        rest = memoryview(data)
        while rest:
            room = self.room()
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            frame = self.advance(count)
            rest = rest[count:]
            if frame is not None:
                yield replace(frame, bgr=frame.bgr.copy())

    def _whole_pair(self) -> Iterator[memoryview]:
        """Yield the memory to fill next, without end."""
        length, image = memoryview(self._length), memoryview(self._image)
        while True:
            yield length
            size = LENGTH.unpack(length)[0]
            if size != len(image):
                raise _other_size(size, self.width, self.height)
            yield image
            yield length
            size = LENGTH.unpack(length)[0]
            if not 1 < size <= self.max_fields:
                raise WireFormatError(
                    f"expected JSON of 2 to {self.max_fields} bytes after the picture, got a "
                    f"length of {size}: connect to a DeepGTAV server"
                )
            if size > len(self._fields):
                self._fields = bytearray(size)
            fields = memoryview(self._fields)[:size]
            yield fields
            self._done = read_pair(image, fields, self.width, self.height)


class MessageDecoder:
    """Turns a client's bytes into message bodies, however they are split.

    `limit` bounds one body: the game's own buffer, unless a server takes larger ones.
    """

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self.limit = limit
        self._pending = bytearray()

    def feed(self, data: Buffer) -> Iterator[bytes]:
        """Take bytes; yield every body that they complete.

        Raises:
            WireFormatError: a length is out of bounds; the connection cannot go on.
        """
        self._pending += data
        while len(self._pending) >= LENGTH.size:
            size = LENGTH.unpack_from(self._pending)[0]
            if not 0 < size <= self.limit:
                raise WireFormatError(
                    f"expected a message of 1 to {self.limit} bytes, got a length of {size}: "
                    "connect a DeepGTAV client to this port"
                )
            if len(self._pending) < LENGTH.size + size:
                return
            with memoryview(self._pending) as pending:
                body = bytes(pending[LENGTH.size : LENGTH.size + size])
            del self._pending[: LENGTH.size + size]
            yield body


def framed(body: Buffer) -> bytes:
    """Return a message with its length before it."""
    return LENGTH.pack(len(body)) + body


def image_body(image: NDArray[np.uint8]) -> bytes:
    """Return a picture's message of (H, W, 3) uint8 sRGB."""
    height, width, _ = image.shape
    rows = np.zeros((height, stride_of(width)), np.uint8)
    rows[:, : 3 * width].reshape(height, width, 3)[...] = image[..., ::-1]
    return rows.tobytes()


def buffer_field(values: NDArray[np.generic]) -> str:
    """Return depth (H, W) float32 or stencil (H, W) uint8 as it is in a message."""
    return binascii.b2a_base64(np.ascontiguousarray(values).data, newline=False).decode()


def _buffer(
    fields: Mapping[str, Any], key: str, dtype: np.dtype[Any], width: int, height: int
) -> NDArray[Any] | None:
    text = fields.get(key)
    if text is None or text in ([], ""):  # the forks send [] while they do not record
        return None
    size = width * height * dtype.itemsize
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (TypeError, ValueError) as error:
        raise WireFormatError(
            f"expected base64 in {key}, got {repr(text)[:40]} ({error}): "
            "use a fork of DeepGTAV that sends buffers"
        ) from error
    if len(data) != size:
        raise WireFormatError(
            f"expected {key} of {width}x{height}, {size} bytes, got {len(data)}: ask the game for "
            "the size of its buffers"
        )
    return np.frombuffer(data, dtype).reshape(height, width)


def _other_size(got: int, width: int, height: int) -> WireFormatError:
    return WireFormatError(
        f"expected a picture of {width}x{height}, {stride_of(width) * height} bytes, got a length "
        f"of {got}: ask for the size that the game sends"
    )
