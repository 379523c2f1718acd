"""The minitown server: a town behind CARLA's protocol."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys

from realmaster_live.bridges.carla.wire.listener import listening_pair
from realmaster_live.minitown.server.config import ServerConfig
from realmaster_live.minitown.server.episode import Episode
from realmaster_live.minitown.server.manager_watch import watch_managers
from realmaster_live.minitown.server.rpc import RpcServer
from realmaster_live.minitown.server.streams import StreamHub
from realmaster_live.minitown.server.towns import load_in_thread, map_of_file, map_of_seed

log = logging.getLogger(__name__)


def run(config: ServerConfig) -> None:
    """Serve a town until SIGINT or SIGTERM; prints one line when clients may connect.

    Raises:
        ConfigError: the version, look or rate is none. ConnectError: a port is taken.
    """
    asyncio.run(serve(config))


async def serve(config: ServerConfig) -> None:
    """Serve a town until the task is cancelled or a signal comes."""
    rpc_socket, stream_socket = listening_pair(config.host, config.port)
    port = rpc_socket.getsockname()[1]
    stream_socket.setblocking(False)
    stop = asyncio.Event()
    _stop_on_signals(stop)
    hub = StreamHub()
    rpc = RpcServer(config.version)
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(coroutine) for coroutine in (stop.wait(), rpc.serve(rpc_socket))
    ]
    episode = None
    try:
        start = asyncio.create_task(_start(config, hub, stream_socket.getsockname()[1]))
        tasks.append(start)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():  # a signal came first, or the RPC ended
            return
        tasks.remove(start)
        episode = rpc.episode = start.result()
        forever = hub.serve(stream_socket), episode.run_free(), watch_managers(episode)
        for coroutine in forever:
            tasks.append(asyncio.create_task(coroutine))
        sys.stdout.write(
            f"minitown ready on {config.host}:{port} (streams on {episode.stream_port}, "
            f"map {episode.town.name}, CARLA {config.version})\n"
        )
        sys.stdout.flush()
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        rpc_socket.close()
        stream_socket.close()
        if episode is not None:
            episode.close()
        if hub.dropped:
            log.info("%d messages were lost to subscribers that read too slowly", hub.dropped)


async def _start(config: ServerConfig, hub: StreamHub, stream_port: int) -> Episode:
    """Build the town and draw it once, which compiles the renderer on a first start."""
    log.info("building the town; a first start also compiles its renderer for half a minute")
    chosen = map_of_file(config.opendrive) if config.opendrive else map_of_seed(config.seed)
    town = await load_in_thread(chosen.name, config)
    episode = Episode(config, town, hub)
    episode.stream_port = stream_port
    await episode.warm_up()
    return episode


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # only the main thread may set handlers, and Windows has none of these
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)
