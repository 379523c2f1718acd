"""One client's RPC connection: its calls to the server, the answers back, tokens rewritten."""

from __future__ import annotations

import itertools
import logging
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from realmaster_live.bridges.carla.connection import release_of
from realmaster_live.bridges.carla.proxy.routes import WITH_TOKENS, Routes
from realmaster_live.bridges.carla.wire.layouts import LAYOUTS, Layout
from realmaster_live.bridges.carla.wire.message_scanner import MessageScanner, MessageSplitter
from realmaster_live.bridges.carla.wire.rpc import (
    Request,
    encode_answer,
    encode_request,
    heading,
    result_of,
    value,
)
from realmaster_live.errors import FrameTimeout, WireFormatError

log = logging.getLogger(__name__)
AT_ONCE = 1 << 18  # bytes read at a time
OWN_CALLS = 1 << 31  # from this number on calls are ours; a client counts from 1
CONNECT_S = 5.0
TICK_S = 30.0  # how long the server may take for a tick of ours
MOST_BYTES, MOST_ITEMS = 1 << 30, 1 << 26  # of a message: maps and meshes are large


@dataclass(frozen=True, kw_only=True)
class Peer:
    """What a link does beside forwarding.

    Attributes:
        routes: rewrites tokens.
        every_stream: whether all streams go through the proxy, for this client.
        on_layout: called with the server's layout, None for a version that is not known.
        tick_through: given what ticks once, ticks through a chunk and returns the last frame; None
            to forward ticks as they are.
    """

    routes: Routes
    every_stream: bool
    on_layout: Callable[[str, Layout | None], None]
    tick_through: Callable[[Callable[[], int]], int] | None = None


class RpcLink:
    """Two threads between a client and a server; ends when either of them hangs up.

    Bytes are forwarded as they are, but for the tokens of streams in answers, and for ticks in
    lockstep. What does not read as CARLA's messages is forwarded all the same.
    """

    def __init__(self, client: socket.socket, server: socket.socket, peer: Peer) -> None:
        self._client, self._server, self._peer = client, server, peer
        self._layout: Layout | None = None
        self._awaited: dict[int, str] = {}  # number of a client's call -> its name
        self._own_numbers = itertools.count(OWN_CALLS)
        self._own: dict[int, queue.SimpleQueue[bytes | None]] = {}
        self._sending = threading.Lock()
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self) -> None:
        """Forward until one side hangs up."""
        answers = threading.Thread(target=self._guarded, args=(self._answers,), name="rm-answers")
        answers.daemon = True
        answers.start()
        self._guarded(self._calls)
        answers.join()
        self._client.close()
        self._server.close()

    def close(self) -> None:
        """Hang up on both; may be called twice."""
        for sock in (self._client, self._server):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            log.debug("an RPC connection ended: %r", error)
        finally:
            self.close()
            for waiting in tuple(self._own.values()):
                waiting.put(None)

    def _calls(self) -> None:
        """Forward the client's calls, noting those whose answers matter."""
        self._ask_version()
        for message, is_whole in _messages(self._client):
            if is_whole:
                number, name = heading(message)
                if name == "tick_cue" and self._layout and self._peer.tick_through is not None:
                    self._tick_through(number, message)
                    continue
                if name in WITH_TOKENS and self._layout is not None:
                    self._awaited[number] = name
            self._server.sendall(message)

    def _answers(self) -> None:
        """Forward the server's answers, tokens rewritten; keep those to our own calls."""
        for message, is_whole in _messages(self._server):
            number = heading(message).id if is_whole else -1
            if number in self._own:
                self._own.pop(number).put(message)
                continue
            name = self._awaited.pop(number, None)
            if name is not None:
                every = self._peer.every_stream
                message = self._peer.routes.rewritten(name, message, every_stream=every)
            with self._sending:
                self._client.sendall(message)

    def _ask_version(self) -> None:
        """Find out what the server speaks, before the client's first call."""
        try:
            answer = self._ask("version", CONNECT_S)
        except FrameTimeout:
            return  # it is starting, or no CARLA server: the client finds out for itself
        match result_of(answer):
            case [[1, str(version)]]:
                self._layout = LAYOUTS.get(release_of(version) or "")
                self._peer.on_layout(version, self._layout)

    def _ask(self, name: str, timeout_s: float) -> bytes:
        """Return the answer to a call of our own; raise FrameTimeout where none comes."""
        number = next(self._own_numbers)
        waiting = self._own[number] = queue.SimpleQueue()
        self._server.sendall(encode_request(Request(number, name, False, [])))
        answer = None
        with suppress(queue.Empty):
            answer = waiting.get(timeout=timeout_s)
        if answer is None:
            raise FrameTimeout(
                f"expected an answer to {name} within {timeout_s:g} s, got none: see that the "
                "server runs"
            )
        return answer

    def _tick_through(self, number: int, message: bytes) -> None:
        """Answer a client's tick with the last of the ticks through a chunk."""
        assert self._peer.tick_through is not None
        try:
            frame = self._peer.tick_through(self._tick)
        except FrameTimeout as error:
            log.warning("%s; the tick goes on", error)
            self._server.sendall(message)
            return
        with self._sending:
            self._client.sendall(encode_answer(number, value(frame)))

    def _tick(self) -> int:
        match result_of(self._ask("tick_cue", TICK_S)):
            case [[1, int(frame)]]:
                return frame
            case other:
                raise FrameTimeout(f"expected a frame number from tick_cue, got {other!r}: retry")


def _messages(sock: socket.socket) -> Iterator[tuple[bytes, bool]]:
    """Yield a peer's whole messages, and what is none as it comes, until the peer hangs up."""
    splitter = MessageSplitter(MessageScanner(MOST_BYTES, MOST_ITEMS))
    message = b""
    try:
        while data := sock.recv(AT_ONCE):
            for message in splitter.feed(data):
                heading(message)
                yield message, True
                message = b""
    except WireFormatError as error:
        log.warning("a connection is forwarded as it is from here on: %s", error)
        yield message + splitter.pending, False
        while data := sock.recv(AT_ONCE):
            yield data, False
