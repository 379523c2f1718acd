"""A server for Foxglove's viewer; its topics are those of foxglove_topics.

Messages are made, and pictures encoded, only of topics that somebody shows.
"""

from __future__ import annotations

import logging
from typing import Any

from realmaster_live.errors import ConfigError, reason
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.messages.foxglove import NANOSECONDS
from realmaster_live.optional import require
from realmaster_live.sinks.encoding import Encodings
from realmaster_live.sinks.foxglove_topics import FoxgloveTopics
from realmaster_live.sinks.urls import SinkUrl

foxglove = require("foxglove", extra="foxglove")
websocket = require("foxglove.websocket", extra="foxglove")
log = logging.getLogger(__name__)

HOST, PORT = "127.0.0.1", 8765
WAITING_MESSAGES = 64  # for each viewer; then its oldest go


def from_url(url: SinkUrl) -> FoxgloveServer:
    """Return the sink of `foxglove:` or `foxglove:HOST:PORT`."""
    host, port = url.address(HOST, PORT)
    return FoxgloveServer(host=host, port=port)


class FoxgloveServer:
    """A sink that serves Foxglove's viewer over a WebSocket, on this machine by default.

    Args:
        host: address to listen on. port: 0 takes a free one; see `url`.

    Attributes:
        url: for the viewer's "Open connection", "" until it is open.
    """

    def __init__(self, *, host: str = HOST, port: int = PORT) -> None:
        self.url = ""
        self._host, self._port = host, port
        self._topics = FoxgloveTopics()
        self._encodings = Encodings()
        self._server: Any = None

    def open(self) -> None:
        """Serve from now on.

        Raises:
            ConfigError: the port cannot be taken.
        """
        try:
            self._server = foxglove.start_server(
                name="realmaster_live",
                host=self._host,
                port=self._port,
                capabilities=[websocket.Capability.Time],
                context=self._topics.log.context,
                message_backlog_size=WAITING_MESSAGES,
            )
        except (OSError, RuntimeError) as error:
            raise ConfigError(
                f"expected a free port of this machine for Foxglove, got {reason(error)} at "
                f"{self._host}:{self._port}: choose another port or address"
            ) from error
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"ws://{host}:{self._server.port}"
        log.warning("Foxglove: open a connection to %s", self.url)

    def begin(self, run: RunInfo) -> None:
        """Share the run's videos."""
        self._encodings = Encodings.of(run)

    def write(self, chunk: Chunk) -> None:
        """Send one chunk to the viewers."""
        self._topics.write(chunk, self._encodings)
        self._server.broadcast_time(round(float(chunk.timestamps[-1]) * NANOSECONDS))

    def close(self) -> None:
        """Stop serving."""
        self._server.stop()
