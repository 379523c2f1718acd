"""`realmaster minitown`: the embedded town in a CARLA server's place."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated

from realmaster_live.cli.values import Count, Flag
from realmaster_live.minitown.server.config import ServerConfig

Process = Annotated[Count | None, Flag(metavar="PID")]


@dataclass(frozen=True, kw_only=True)
class Minitown(ServerConfig):
    """Serve the embedded town to any CARLA client.

    Attributes:
        exit_with_parent: Stop when this parent process has ended.
        verbose: Log every call.
    """

    exit_with_parent: Process = None
    verbose: bool = False


def run(options: Minitown) -> int:
    """Serve until SIGINT or SIGTERM."""
    from realmaster_live.minitown.server.parent import exit_with_parent
    from realmaster_live.minitown.server.server import run as serve

    level = logging.DEBUG if options.verbose else logging.INFO
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("numba").setLevel(logging.WARNING)
    if options.exit_with_parent is not None:
        exit_with_parent(options.exit_with_parent)
    serve(options)
    return 0
