"""`realmaster proxy`: photoreal cameras for any CARLA client."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Annotated

from realmaster_live.cli.realizing import RealizingOptions
from realmaster_live.cli.values import Address, Count, Flag, Port


@dataclass(frozen=True, kw_only=True)
class Proxy(RealizingOptions):
    """Stand between any CARLA client and its server, with photoreal rgb cameras.

    Attributes:
        upstream: Host and RPC port of the CARLA server.
        host: Address on which to listen.
        port: Port on which to listen; cameras take the next one if it is free. 0 takes any free
            port.
        all_streams: Lead every stream through the proxy, for clients that cannot reach the server.
        exit_with_parent: Stop when this parent process has ended.
    """

    upstream: Address = ("127.0.0.1", 2000)
    host: str = "127.0.0.1"
    port: Port = 3000
    all_streams: bool = False
    exit_with_parent: Annotated[Count | None, Flag(metavar="PID")] = None


def run(options: Proxy) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    from realmaster_live.bridges.carla.proxy.server import CarlaProxy
    from realmaster_live.minitown.server.parent import exit_with_parent
    from realmaster_live.system.termination import termination_raises

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    if options.exit_with_parent is not None:
        exit_with_parent(options.exit_with_parent)
    realizing = options.realizing()
    realizing.check_engine()
    with (
        termination_raises(),
        CarlaProxy(
            options.upstream,
            realizing,
            host=options.host,
            port=options.port,
            all_streams=options.all_streams,
        ) as proxy,
    ):
        print(
            f"proxy ready on {proxy.host}:{proxy.port} (cameras on {proxy.stream_port}, server "
            f"{options.upstream[0]}:{options.upstream[1]})",
            flush=True,
        )
        while True:
            time.sleep(3600.0)
