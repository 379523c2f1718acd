"""What our relay adds to DeepGTAV's protocol: a stamp on each frame, and realized chunks back.

The stamp is an object under one key of a frame's JSON. Only a peer whose stamp says that it takes
realized chunks is sent any. One is a message of the client's, little-endian int32 length first as
every message, whose body does not begin with a brace:

    b"RMC1"  int32 N  N bytes of JSON {"shape": [T, H, W, 3], "timestamps": [T]}  RGB pixels

A body may have up to MAX_REALIZED bytes and a chunk up to MAX_FRAMES frames; the game's own limit
of 4095 bytes holds for JSON only.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.protocol.messages import Side
from realmaster_live.errors import WireFormatError
from realmaster_live.frames.chunk import Chunk

STAMP_KEY = "realmaster"
MAGIC = b"RMC1"
MAX_REALIZED = 64 << 20  # bytes: eight frames of 1920 x 1080 are 50e6
MAX_FRAMES = 64  # of one realized chunk
MAX_HEAD = 1 << 14  # bytes of a chunk's JSON
_HEAD = struct.Struct("<4si")

Seconds = Annotated[float, Meta(ge=-1e12, le=1e12)]


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """What the relay knows of a frame.

    Attributes:
        index: the relay's count of captured frames; gaps are frames that were overtaken.
        time_s: of the capture, on the relay's monotonic clock.
        source_size: width and height of the picture before the relay made it smaller.
        vfov_deg: vertical field of view. near_m: near clip of depth buffers; None if not known.
        takes_realized: whether realized chunks may be sent back.
    """

    index: Annotated[int, Meta(ge=0, le=2**53)]
    time_s: Seconds
    source_size: tuple[Side, Side]
    vfov_deg: Annotated[float, Meta(gt=0, lt=180)]
    near_m: Annotated[float, Meta(gt=0, lt=1e3)] | None = None
    takes_realized: bool = False

    def beside(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return a frame's fields with this stamp among them."""
        return {**fields, STAMP_KEY: msgspec.structs.asdict(self)}


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON before the pixels of a realized chunk."""

    shape: tuple[Annotated[int, Meta(ge=1, le=MAX_FRAMES)], Side, Side, Literal[3]]
    timestamps: Annotated[list[Seconds], Meta(max_length=MAX_FRAMES)]


@dataclass(frozen=True, kw_only=True)
class Realized:
    """A chunk that is sent back to the relay.

    Attributes:
        frames: (T, H, W, 3) uint8 sRGB. timestamps: (T,) seconds of the constant rate.
    """

    frames: NDArray[np.uint8]
    timestamps: NDArray[np.float64]


def read_stamp(fields: Mapping[str, Any]) -> Stamp | None:
    """Return the stamp of a frame; None from a peer that is not our relay.

    Raises:
        WireFormatError: there is one that cannot be used.
    """
    found = fields.get(STAMP_KEY)
    if found is None:
        return None
    try:
        return msgspec.convert(found, Stamp)
    except ValueError as error:
        raise WireFormatError(
            f"expected a relay's stamp in {STAMP_KEY!r}, got {repr(found)[:80]} ({error}): "
            "run the same version on both machines"
        ) from error


def encode_realized(chunk: Chunk) -> bytes:
    """Return the body of a realized chunk."""
    head = {"shape": chunk.frames.shape, "timestamps": chunk.timestamps.tolist()}
    text = msgspec.json.encode(head)
    return b"".join([_HEAD.pack(MAGIC, len(text)), text, np.ascontiguousarray(chunk.frames).data])


def is_realized(body: bytes) -> bool:
    """Return whether a client's message is a realized chunk, and not JSON."""
    return body[: len(MAGIC)] == MAGIC


def decode_realized(body: bytes) -> Realized:
    """Return the chunk of a body; its frames stay in the body's memory.

    Raises:
        WireFormatError: it is cut short, contradicts itself, or is over a limit.
    """
    try:
        magic, size = _HEAD.unpack_from(body)
        start = _HEAD.size + size
        if magic != MAGIC or not 0 < size <= MAX_HEAD or start > len(body):
            raise ValueError("another beginning")
        head = msgspec.json.decode(memoryview(body)[_HEAD.size : start], type=_Head)
        count, height, width, channels = head.shape
        if len(head.timestamps) != count:
            raise ValueError(f"{len(head.timestamps)} timestamps of {count} frames")
        if len(body) - start != count * height * width * channels:
            raise ValueError(f"{len(body) - start} bytes of pixels")
    except (struct.error, ValueError, RecursionError) as error:
        raise WireFormatError(
            f"expected a realized chunk, got {len(body)} bytes that are none ({error}): "
            "run the same version on both machines"
        ) from error
    pixels = np.frombuffer(body, np.uint8, offset=start)
    frames = pixels.reshape(count, height, width, channels)
    return Realized(frames=frames, timestamps=np.array(head.timestamps, np.float64))
