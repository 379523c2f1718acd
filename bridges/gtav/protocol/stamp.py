"""What our relay adds to DeepGTAV's protocol: a stamp on each frame, and realized chunks back.

The stamp is an object under one key of a frame's JSON. Only a peer that says there that it takes
realized chunks is sent any. One is a message of the client's, little-endian int32 length first as
every message, whose body does not begin with a brace:

    b"RMC1"  int32 N  N bytes of JSON {"shape": [T, H, W, 3], "timestamps": [T]}  RGB pixels

A body may have up to MAX_REALIZED bytes; the game's own limit of 4095 holds for JSON only.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import WireFormatError
from realmaster_live.frames.chunk import Chunk

STAMP_KEY = "realmaster"
MAGIC = b"RMC1"
MAX_REALIZED = 64 << 20  # bytes: eight frames of 1920 x 1080 are 50e6
_HEAD = struct.Struct("<4si")


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What the relay knows of a frame.

    Attributes:
        index: the relay's count of captured frames; gaps are frames that were overtaken.
        time_s: of the capture, on the relay's monotonic clock.
        source_size: width and height of the picture before the relay made it smaller.
        vfov_deg: vertical field of view. near_m: near clip of depth buffers; None if not known.
        takes_realized: whether realized chunks may be sent back.
    """

    index: int
    time_s: float
    source_size: tuple[int, int]
    vfov_deg: float
    near_m: float | None = None
    takes_realized: bool = False

    def beside(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return a frame's fields with this stamp among them."""
        return {**fields, STAMP_KEY: asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Realized:
    """A chunk on its way back.

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
    told = fields.get(STAMP_KEY)
    if told is None:
        return None
    try:
        width, height = map(int, told["source_size"])
        near = told["near_m"]
        stamp = Stamp(
            index=int(told["index"]),
            time_s=float(told["time_s"]),
            source_size=(width, height),
            vfov_deg=float(told["vfov_deg"]),
            near_m=None if near is None else float(near),
            takes_realized=bool(told["takes_realized"]),
        )
        if min(width, height) < 1 or not math.isfinite(stamp.time_s):
            raise ValueError("a size or a time that cannot be")
        if not 0 < stamp.vfov_deg < 180 or not (near is None or 0 < stamp.near_m < 1e3):  # type: ignore[operator]
            raise ValueError("optics that cannot be")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WireFormatError(
            f"expected a relay's stamp in {STAMP_KEY!r}, got {repr(told)[:80]} ({error!r}): "
            "run the same version on both machines"
        ) from error
    return stamp


def encode_realized(chunk: Chunk) -> bytes:
    """Return the body of a realized chunk."""
    head = {"shape": chunk.frames.shape, "timestamps": chunk.timestamps.tolist()}
    text = json.dumps(head).encode()
    return b"".join([_HEAD.pack(MAGIC, len(text)), text, np.ascontiguousarray(chunk.frames).data])


def is_realized(body: bytes) -> bool:
    """Say whether a client's message is a realized chunk, and not JSON."""
    return body[: len(MAGIC)] == MAGIC


def decode_realized(body: bytes) -> Realized:
    """Return the chunk of a body; its frames stay in the body's memory.

    Raises:
        WireFormatError: it is cut short or contradicts itself.
    """
    try:
        magic, size = _HEAD.unpack_from(body)
        if magic != MAGIC or not 0 < size <= len(body) - _HEAD.size:
            raise ValueError("another beginning")
        start = _HEAD.size + size
        head = json.loads(body[_HEAD.size : start])
        count, height, width, channels = map(int, head["shape"])
        times = np.array(head["timestamps"], np.float64)
        if min(count, height, width) < 1 or channels != 3 or times.shape != (count,):
            raise ValueError("a shape that cannot be")
        if len(body) - start != count * height * width * 3:
            raise ValueError(f"{len(body) - start} bytes of pixels")
    except (struct.error, KeyError, TypeError, ValueError, RecursionError) as error:
        raise WireFormatError(
            f"expected a realized chunk, got {len(body)} bytes that are none ({error}): "
            "run the same version on both machines"
        ) from error
    pixels = np.frombuffer(body, np.uint8, offset=start)
    return Realized(frames=pixels.reshape(count, height, width, 3), timestamps=times)
