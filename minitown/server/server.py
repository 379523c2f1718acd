"""The minitown server: `python -m realmaster_live.minitown.server.server --port 2000`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from realmaster_live.bridges.carla.wire.layouts import LAYOUTS
from realmaster_live.errors import ConfigError, ConnectError, RealMasterError
from realmaster_live.minitown.server.episode import Episode, ServerConfig
from realmaster_live.minitown.server.rpc import RpcServer
from realmaster_live.minitown.server.streams import StreamHub
from realmaster_live.minitown.server.towns import load_town

BACKLOG = 64


def run(config: ServerConfig) -> None:
    """Serve a town until SIGINT or SIGTERM; prints one line when clients may connect.

    Raises:
        ConfigError: the version, look or rate is none. ConnectError: a port is taken.
    """
    asyncio.run(serve(config))


async def serve(config: ServerConfig) -> None:
    """Serve a town until the task is cancelled or a signal comes."""
    if config.fps <= 0.0:
        raise ConfigError(f"expected fps above 0, got {config.fps:g}: set another rate")
    rpc_socket = _listen(config.host, config.port)
    port = rpc_socket.getsockname()[1]
    stream_socket = _listen_near(config.host, port + 1)
    stream_socket.setblocking(False)
    town = load_town(config.seed, drawn=config.raster, look=config.look)
    hub = StreamHub()
    episode = Episode(config, town, hub)
    episode.stream_port = stream_socket.getsockname()[1]
    stop = asyncio.Event()
    _stop_on_signals(stop)
    tasks: list[asyncio.Task[object]] = []
    try:
        await episode.warm_up()
        for coroutine in (
            RpcServer(episode).serve(rpc_socket),
            hub.serve(stream_socket),
            episode.run_free(),
            stop.wait(),
        ):
            tasks.append(asyncio.create_task(coroutine))
        sys.stdout.write(
            f"minitown ready on {config.host}:{port} (streams on {episode.stream_port}, "
            f"map {town.network.name}, CARLA {config.version})\n"
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
        episode.close()


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # only the main thread may set handlers, and Windows has none of these
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)


def _listen(host: str, port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except (OSError, OverflowError) as error:
        sock.close()
        raise ConnectError(
            f"expected a free port at {host}:{port}, got {error}: choose another --port"
        ) from error
    sock.listen(BACKLOG)
    return sock


def _listen_near(host: str, port: int) -> socket.socket:
    """Listen on the port, or on any other when it is taken: clients are told which."""
    try:
        return _listen(host, port)
    except ConnectError:
        return _listen(host, 0)


def parser() -> argparse.ArgumentParser:
    """Return the command line's options."""
    defaults = ServerConfig()
    p = argparse.ArgumentParser(
        prog="minitown", description="A small town behind CARLA's protocol."
    )
    p.add_argument("--host", default=defaults.host)
    p.add_argument("--port", type=int, default=defaults.port, help="0 takes any free port")
    p.add_argument("--seed", type=int, default=defaults.seed, help="which town")
    p.add_argument("--version", choices=list(LAYOUTS), default=defaults.version)
    p.add_argument("--fps", type=float, default=defaults.fps)
    p.add_argument("--vehicles", type=int, default=defaults.vehicles, help="ambient vehicles")
    p.add_argument("--walkers", type=int, default=defaults.walkers, help="ambient walkers")
    p.add_argument("--state-log", type=Path, help="file that every tick's scene is added to")
    p.add_argument("--look", default=defaults.look, help="the rasteriser's look: A or B")
    p.add_argument("--no-raster", dest="raster", action="store_false", help="send a fixed picture")
    p.add_argument("--verbose", action="store_true", help="log every call")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = vars(parser().parse_args(argv))
    level = logging.DEBUG if options.pop("verbose") else logging.INFO
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("numba").setLevel(logging.WARNING)
    try:
        run(ServerConfig(**options))
    except RealMasterError as error:
        sys.stderr.write(f"minitown: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
