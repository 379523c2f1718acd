"""The RPC layer: msgpack-rpc as CARLA speaks it.

A request is [0, id, name, [[is_async], argument, ...]], an answer [1, id, error, result]; they
follow each other in the stream without any length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from realmaster_live.bridges.carla.wire.message_scanner import MessageSplitter
from realmaster_live.errors import WireFormatError
from realmaster_live.optional import require

msgpack = require("msgpack", extra="minitown")

HEADING_BYTES = 256  # hold the number of a message and the longest name of a call
VOID: list[Any] = [[False]]  # the result of a call that returns nothing


class Request(NamedTuple):
    """One call; `is_async`: the caller ignores the answer (send it all the same)."""

    id: int
    name: str
    is_async: bool
    args: list[Any]


class Decoder:
    """Turns received bytes into requests, each decoded once all its bytes are there."""

    def __init__(self) -> None:
        self._splitter = MessageSplitter()

    @property
    def pending(self) -> int:
        """Bytes that are held until the rest of their message comes."""
        return len(self._splitter)

    def feed(self, data: bytes) -> Iterator[Request]:
        """Take bytes; yield every request they complete.

        Raises:
            WireFormatError: the bytes are no requests; the connection cannot go on.
        """
        for message in self._splitter.feed(data):
            try:
                yield _request(msgpack.unpackb(message, raw=False, strict_map_key=False))
            except (ValueError, TypeError, msgpack.UnpackException) as error:
                raise WireFormatError(
                    f"expected msgpack-rpc requests, got bytes that do not decode ({error!r}): "
                    "connect a CARLA client to this port"
                ) from error


class Heading(NamedTuple):
    """What a message begins with: its number, and the name of the call in a request, else ""."""

    id: int
    name: str


def heading(message: bytes) -> Heading:
    """Return a message's heading, the rest undecoded; raise WireFormatError if it has none."""
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
    unpacker.feed(message[:HEADING_BYTES])
    try:
        length, kind, number = unpacker.read_array_header(), unpacker.unpack(), unpacker.unpack()
        name = unpacker.unpack() if (length, kind) == (4, 0) else ""
        if length == 4 and kind in (0, 1) and isinstance(number, int) and isinstance(name, str):
            return Heading(number, name)
    except (ValueError, TypeError, msgpack.UnpackException):
        pass
    raise WireFormatError(
        f"expected a call of msgpack-rpc or its answer, got {message[:40]!r}: connect a CARLA "
        "client to this port"
    )


def result_of(message: bytes) -> Any:
    """Return what an answer holds, [[1, value]] for instance; None where the call failed."""
    _, _, error, result = msgpack.unpackb(message, raw=False, strict_map_key=False)
    return result if error is None else None


def _request(message: Any) -> Request:
    match message:
        case [0, int(number), str(name), [[bool(is_async), *_], *args]]:
            return Request(number, name, is_async, args)
    raise WireFormatError(
        f"expected a request [0, id, name, [[async], ...]], got {repr(message)[:120]}: "
        "connect a CARLA client to this port"
    )


def pack(item: Any) -> bytes:
    """Return the msgpack bytes of lists, numbers, strings and bytes."""
    return bytes(msgpack.packb(item, use_bin_type=True))


def encode_request(request: Request) -> bytes:
    """Return a request's bytes."""
    return pack([0, request.id, request.name, [[request.is_async], *request.args]])


def encode_answer(number: int, result: Any, error: str | None = None) -> bytes:
    """Return an answer's bytes; with an `error` the client raises a RuntimeError."""
    return pack([1, number, error, result])


def value(result: Any) -> list[Any]:
    """Return the result of a call that returns something."""
    return [[1, result]]


def value_refused(text: str) -> list[Any]:
    """Return the failure of a call that returns something; the client raises `text`."""
    return [[0, [text]]]


def void_refused(text: str) -> list[Any]:
    """Return the failure of a call that returns nothing; the client raises `text`."""
    return [[True, [text]]]
