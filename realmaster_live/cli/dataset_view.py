"""`realmaster dataset view`: a page that shows recordings."""

from __future__ import annotations

import contextlib
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Flag
from realmaster_live.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class View:
    """Show recordings on a page: pictures, labels, route, search, and the command of an export.

    Attributes:
        recordings: The folders of the recordings.
        port: Port of the page; 0 takes a free one.
        host: Address on which the page listens, such as 0.0.0.0 for other machines; these need the
            token. Without it, 127.0.0.1.
        token: What people have to give to see the page. Without it, one is made and printed where
            other machines reach the page.
    """

    recordings: Annotated[tuple[Path, ...], Flag(positional=True, metavar="RECORDING")]
    port: int = 0
    host: str | None = None
    token: str | None = None

    def __post_init__(self) -> None:
        """Check the port, once; raises ConfigError."""
        if not 0 <= self.port <= 65535:
            raise ConfigError(
                f"expected --port from 0 to 65535, got {self.port}: 0 takes a free one"
            )


def run(options: View) -> int:
    """Serve the page until SIGINT or SIGTERM."""
    from realmaster_live.datasets.view.page import DatasetView
    from realmaster_live.sinks.viewer.live_view import HOST
    from realmaster_live.system.termination import termination_raises

    view = DatasetView(
        options.recordings,
        port=options.port,
        host=options.host or HOST,
        token=options.token,
    )
    with termination_raises(), contextlib.suppress(KeyboardInterrupt), view:
        sys.stdout.write(f"{view.url}\nCtrl-C ends it.\n")
        sys.stdout.flush()
        threading.Event().wait()
    return 0
