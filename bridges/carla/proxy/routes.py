"""Which streams there are, where they are served, and which of them go through the proxy."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from realmaster_live.bridges.carla.wire.rpc import result_of
from realmaster_live.bridges.carla.wire.streams import TOKEN, Token, unpack_token
from realmaster_live.errors import WireFormatError
from realmaster_live.feeds.choice import PICTURE_SENSOR

log = logging.getLogger(__name__)
ACTORS = ("spawn_actor", "spawn_actor_with_parent", "get_actors_by_id")
TOKENS = ("get_sensor_token", "get_gbuffer_token")
WITH_TOKENS = frozenset({*ACTORS, *TOKENS, "get_episode_info"})
BIN24 = b"\xc4\x18"  # msgpack's head of 24 bytes


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What is known of a stream.

    Attributes:
        host, port: where it is served.
        type_id: of the sensor, such as sensor.camera.rgb; "" where it is no actor's own stream.
        attributes: of the sensor, by name.
    """

    host: str
    port: int
    type_id: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


class Routes:
    """Learns streams from a server's answers, and leads those of cameras to the proxy's own port.

    Tokens keep their size, so an answer is changed in place and nothing else of it is touched.

    Args:
        host: IPv4 address of the server. port: the proxy's port for streams.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._streams: dict[int, Stream] = {}
        self._lock = threading.Lock()
        self._refused: set[bytes] = set()

    def find(self, stream: int) -> Stream | None:
        """Return what is known of a stream."""
        with self._lock:
            return self._streams.get(stream)

    def rewritten(self, name: str, answer: bytes, *, every_stream: bool) -> bytes:
        """Return the answer to a call of WITH_TOKENS with its tokens rewritten.

        Cameras, and with `every_stream` all others, go to the proxy; the others to the server
        itself, whose address they get if they have none.
        """
        for token_bytes, type_id, attributes in _tokens(name, result_of(answer)):
            try:
                token = unpack_token(token_bytes)
            except WireFormatError as error:
                self._refuse(token_bytes, error)
                continue
            host = token.address or self.host
            known = self._learn(token, host, type_id, attributes)
            if every_stream or known.type_id == PICTURE_SENSOR:
                token = Token(token.stream, self.port)
            else:
                token = Token(token.stream, token.port, host)
            answer = answer.replace(BIN24 + token_bytes, BIN24 + token.pack())
        return answer

    def _learn(
        self, token: Token, host: str, type_id: str | None, attributes: Mapping[str, str]
    ) -> Stream:
        """Note where a stream is served, and what it is where the answer says so."""
        with self._lock:
            before = self._streams.get(token.stream)
            if type_id is None and before is not None:
                type_id, attributes = before.type_id, before.attributes
            stream = Stream(
                host=host, port=token.port, type_id=type_id or "", attributes=attributes
            )
            self._streams[token.stream] = stream
            return stream

    def _refuse(self, token: bytes, error: WireFormatError) -> None:
        if token not in self._refused and len(self._refused) < 64:
            self._refused.add(token)
            log.warning("a stream is left as the server gives it, and not realized: %s", error)


def _tokens(name: str, result: Any) -> Iterator[tuple[bytes, str | None, Mapping[str, str]]]:
    """Yield each token of a call's result, its sensor's type ("": none; None: unsaid), attributes.

    Layouts: a value is [[1, value]], an actor [id, parent, [uid, type, [[name, kind, value]...]],
    box, tags, token], a token alone [token], an episode [id, [token]].
    """
    match result:
        case [[1, value]]:
            pass
        case _:
            return
    if name in ACTORS:
        actors = value if name == "get_actors_by_id" else [value]
        for actor in actors if isinstance(actors, list) else []:
            match actor:
                case [_, _, [_, str(type_id), list(attributes), *_], _, _, bytes(token), *_]:
                    if len(token) == TOKEN.size:
                        yield token, type_id, _attributes(attributes)
        return
    match value:
        case [bytes(token), *_] if name in TOKENS:
            yield token, None if name == "get_sensor_token" else "", {}
        case [_, [bytes(token), *_], *_] if name == "get_episode_info":
            yield token, "", {}


def _attributes(values: list[Any]) -> dict[str, str]:
    found = {}
    for one in values:
        match one:
            case [str(key), _, str(value), *_]:
                found[key] = value
    return found
