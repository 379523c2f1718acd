"""RPC connections: bytes in, calls on the episode, answers out, one connection at a time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import time
from collections.abc import Mapping
from typing import Any

from realmaster_live.bridges.carla.wire.rpc import (
    Decoder,
    Request,
    encode_answer,
    value,
    value_refused,
    void_refused,
)
from realmaster_live.errors import WireFormatError
from realmaster_live.minitown.server import (
    batch,
    calls_actors,
    calls_debug,
    calls_lights,
    calls_recorder,
    calls_world,
)
from realmaster_live.minitown.server.calls import CONNECTION, PEER, Call
from realmaster_live.minitown.server.connections import MOST_CALLERS, ConnectionLimit, affordable
from realmaster_live.minitown.server.declined import DECLINED
from realmaster_live.minitown.server.episode import Episode
from realmaster_live.minitown.server.held_requests import HeldRequests

log = logging.getLogger(__name__)

CHUNK = 1 << 18  # bytes read at a time
LOAD = "load_new_episode"
MOST_WARNINGS = 256  # unknown calls that are logged, each once
MAX_PENDING = 64 << 20  # bytes of requests that have not come whole yet, all clients together
CALLS: Mapping[str, Call] = {
    **calls_world.CALLS,
    **calls_actors.CALLS,
    **calls_lights.CALLS,
    **calls_debug.CALLS,
    **calls_recorder.CALLS,
    **batch.CALLS,
}


class RpcServer:
    """Serves one episode to any number of clients.

    Until `episode` is set, only the version is answered: the town is still being prepared.
    """

    def __init__(self, version: str) -> None:
        self.episode: Episode | None = None
        self._version = version
        self._started_s = time.monotonic()
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._limit = ConnectionLimit(affordable(MOST_CALLERS))
        self._decoders: dict[int, Decoder] = {}
        self._warned: set[str] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Accept connections on a listening socket forever."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await self._connection(reader, writer)
            finally:
                self._tasks.discard(task)

        server = await asyncio.start_server(connected, sock=listener, limit=CHUNK)
        try:
            async with server:
                await server.serve_forever()
        finally:
            for task in list(self._tasks):
                task.cancel()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._numbers)
        CONNECTION.set(number)
        PEER.set(str((writer.get_extra_info("peername") or ("",))[0]))
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._limit.admit(number, writer.transport.abort):
            log.warning("refused a client: %d others are connected already", self._limit.most)
            writer.transport.abort()
            return
        decoder, held = Decoder(), HeldRequests()
        self._decoders[number] = decoder
        try:
            while data := await self._read(reader, writer, held):
                for request in decoder.feed(data):
                    self._limit.keep(number)
                    if not held.takes(request):
                        await self._serve(request, writer, held)
                self._check_pending(decoder)
        except WireFormatError as error:
            log.warning("connection %d is closed: %s", number, error)
        except OSError as error:
            log.debug("connection %d is lost: %r", number, error)
        except asyncio.CancelledError:
            log.debug("connection %d ends with the server", number)
        finally:
            del self._decoders[number]
            self._limit.leave(number)
            self._forget_managers(number)
            with contextlib.suppress(OSError):
                writer.close()

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: HeldRequests
    ) -> bytes:
        """Return what a client sends next; requests that wait are answered before too long."""
        try:
            async with asyncio.timeout(held.timeout_s):
                return await reader.read(CHUNK)
        except TimeoutError:
            for request in held.released():
                await self._serve(request, writer, held)
        return await reader.read(CHUNK)

    async def _serve(
        self, request: Request, writer: asyncio.StreamWriter, held: HeldRequests
    ) -> None:
        """Answer a request, and those that waited for it."""
        before = None if self.episode is None else self.episode.world
        writer.write(await self._answer(request))
        await writer.drain()  # a client that does not read its answers gets no more
        is_new = self.episode is not None and self.episode.world is not before
        if request.name == LOAD and is_new and self._has_manager(CONNECTION.get()):
            held.begin()
        for waiting in held.released(request.name):
            await self._serve(waiting, writer, held)

    def _has_manager(self, connection: int) -> bool:
        managers = self.episode.traffic_managers if self.episode is not None else {}
        return any(one.connection == connection for one in managers.values())

    def _check_pending(self, decoder: Decoder) -> None:
        """Raise WireFormatError where unfinished requests of all clients hold too much."""
        if decoder.pending > MAX_PENDING // MOST_CALLERS:
            held = sum(one.pending for one in self._decoders.values())
            if held > MAX_PENDING:
                raise WireFormatError(
                    f"expected at most {MAX_PENDING >> 20} MiB of unfinished requests, got "
                    f"{held >> 20} MiB: send less at a time"
                )

    def _forget_managers(self, connection: int) -> None:
        """Drop the traffic managers that a client registered and never took back."""
        managers = self.episode.traffic_managers if self.episode is not None else {}
        for port in [port for port, one in managers.items() if one.connection == connection]:
            del managers[port]

    def _while_starting(self, name: str) -> Any:
        """Return the answer to a call that comes before there is a town."""
        if name == "version":
            return value(self._version)
        seconds = time.monotonic() - self._started_s
        text = (
            f"minitown is still building its town and compiling its renderer ({seconds:.0f} s so "
            "far; a first start takes half a minute): connect again in some seconds"
        )
        returns = CALLS[name].returns if name in CALLS else DECLINED.get(name, "value")
        return void_refused(text) if returns == "void" else value_refused(text)

    async def _answer(self, request: Request) -> bytes:
        name = request.name
        log.debug("call %s%s", name, " (no answer wanted)" if request.is_async else "")
        if self.episode is None:
            return encode_answer(request.id, self._while_starting(name))
        self.episode.called_s = asyncio.get_running_loop().time()
        if name in CALLS:
            answer = await CALLS[name].answer(self.episode, name, request.args)
            return encode_answer(request.id, answer)
        text = f"minitown does not do {name[:80]}: use a full CARLA server for it"
        if name not in self._warned and len(self._warned) < MOST_WARNINGS:
            self._warned.add(name)
            log.warning("a client calls %s, which minitown does not do", name[:80])
        if name not in DECLINED:
            return encode_answer(request.id, None, text)
        refuse = void_refused if DECLINED[name] == "void" else value_refused
        return encode_answer(request.id, refuse(text))
