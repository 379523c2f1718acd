"""RPC connections: bytes in, calls on the episode, answers out, one connection at a time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Mapping

from realmaster_live.bridges.carla.wire.rpc import (
    Decoder,
    Request,
    encode_answer,
    value_refused,
    void_refused,
)
from realmaster_live.errors import WireFormatError
from realmaster_live.minitown.server import (
    batch,
    calls_actors,
    calls_lights,
    calls_recorder,
    calls_world,
)
from realmaster_live.minitown.server.calls import CONNECTION, Call
from realmaster_live.minitown.server.declined import DECLINED
from realmaster_live.minitown.server.episode import Episode

log = logging.getLogger(__name__)

CHUNK = 1 << 18  # bytes read at a time
CALLS: Mapping[str, Call] = {
    **calls_world.CALLS,
    **calls_actors.CALLS,
    **calls_lights.CALLS,
    **calls_recorder.CALLS,
    **batch.CALLS,
}


class RpcServer:
    """Serves one episode to any number of clients."""

    def __init__(self, episode: Episode) -> None:
        self.episode = episode
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: set[str] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Accept connections on a listening socket for ever."""

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
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        decoder = Decoder()
        try:
            while data := await reader.read(CHUNK):
                for request in decoder.feed(data):
                    writer.write(await self._answer(request))
                await writer.drain()
        except WireFormatError as error:
            log.warning("connection %d is closed: %s", number, error)
        except OSError as error:
            log.debug("connection %d is lost: %r", number, error)
        except asyncio.CancelledError:
            log.debug("connection %d ends with the server", number)
        finally:
            self._forget_managers(number)
            with contextlib.suppress(OSError):
                writer.close()

    def _forget_managers(self, connection: int) -> None:
        """Drop the traffic managers that a client registered and never took back."""
        managers = self.episode.traffic_managers
        for port in [port for port, (_, owner) in managers.items() if owner == connection]:
            del managers[port]

    async def _answer(self, request: Request) -> bytes:
        name = request.name
        log.debug("call %s%s", name, " (no answer wanted)" if request.is_async else "")
        if name in CALLS:
            answer = await CALLS[name].answer(self.episode, name, request.args)
            return encode_answer(request.id, answer)
        text = f"minitown does not do {name}: use a full CARLA server for it"
        if name not in self._told:
            self._told.add(name)
            log.warning("a client calls %s, which minitown does not do", name[:80])
        if name not in DECLINED:
            return encode_answer(request.id, None, text)
        refuse = void_refused if DECLINED[name] == "void" else value_refused
        return encode_answer(request.id, refuse(text))
