"""The sink that is a page: render and realized picture, labels, figures, controls, recordings."""

from __future__ import annotations

import logging
import secrets
import time
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.sinks.viewer.access import Access
from realmaster_live.sinks.viewer.recordings import RecordingSwitch
from realmaster_live.sinks.viewer.routes import Routes
from realmaster_live.sinks.viewer.screen import Screen
from realmaster_live.sinks.viewer.serving import ServingThread, is_this_machine
from realmaster_live.sinks.viewer.shots import Gathering

log = logging.getLogger(__name__)

HOST = "127.0.0.1"  # the pictures are private: every other address needs a token
TOKEN_BYTES = 18


class LiveView:
    """A sink that never blocks: when a page cannot follow, the oldest pictures are dropped.

    The frames of a chunk are spread over the time between the last two chunks, so that the page
    moves evenly. Pictures are drawn and encoded only while somebody watches, once for all pages
    that watch the same, and a page that reads slowly gets the newest each time.

    Making it serves nothing: the page is opened by `with`, by `run` or by the first chunk.

    Args:
        port: 0 takes any free one; see `url`, which is empty until the page is open.
        keep_chunks: how many chunks of each camera may wait to be shown.
        quality: of the JPEG pictures.
        host: address to listen on; one that others reach needs a token.
        token: grants access to the page; generated if it is needed but not given.
        recordings: folder in which the page may start recordings, each in a folder of its own.

    Attributes:
        url: the page's address, with the token if there is one.
        lost: frames that were lost before the view.

    Raises:
        ConfigError: the port cannot be taken, or the token is too short.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        keep_chunks: int = 2,
        quality: int = 80,
        host: str = HOST,
        token: str | None = None,
        recordings: str | Path | None = None,
    ) -> None:
        self.url = ""
        self.lost = 0
        if token is None and not is_this_machine(host):
            token = secrets.token_urlsafe(TOKEN_BYTES)
        self._token = token
        self._screen = Screen(keep_chunks=keep_chunks, quality=quality)
        if recordings is not None and Path(recordings).exists() and not Path(recordings).is_dir():
            raise ConfigError(
                f"expected a folder for recordings (--view-recordings), got the file {recordings}: "
                "name a folder, which may be new"
            )
        if not isinstance(port, int) or not 0 <= port <= 65535:
            raise ConfigError(
                f"expected a port from 0 to 65535 for the view, got {port!r}: 0 takes a free one"
            )
        self._recordings = RecordingSwitch(None if recordings is None else Path(recordings))
        self._routes = Routes(self._screen, self._recordings, Access(token), self.stats)
        self._gathering = Gathering()
        self._last_ticks: float | None = None
        self._where = host, port
        self._server: ServingThread | None = None
        self._closed = False

    def __enter__(self) -> LiveView:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Say where the page is and how many pictures it has shown."""
        where = self.url.partition("?")[0] or "not open yet"
        return f"LiveView({'closed' if self._closed else where}, {self.shown} pictures shown)"

    @property
    def is_open(self) -> bool:
        """Whether the page was opened and not closed yet."""
        return self._server is not None and not self._closed

    def open(self) -> None:
        """Serve the page from now on; does nothing where it is served already."""
        if self._closed:
            raise ConfigError("expected a view that was not closed, got a closed one: make another")
        if self._server is not None:
            return
        self._server = ServingThread(*self._where)
        try:
            self._server.start(self._routes.application(), self._screen.play)
        except BaseException:
            self.close()
            raise
        self.url = self._server.url + (f"?token={self._token}" if self._token else "")

    def begin(self, run: RunInfo) -> None:
        """Open the page where it is not open, say where it is, and let it control the run."""
        if not self.is_open:
            self.open()
            log.warning("live view: %s", self.url)  # at a level that a bare program shows
        self._gathering.expect(run.source_info.cameras)
        self._screen.figures.begin(run.totals)
        self._routes.begin(run)

    @property
    def shown(self) -> int:
        """How many pictures were shown so far; those of several cameras at a tick are one."""
        return self._screen.shown

    @property
    def dropped(self) -> int:
        """How many pictures the page could not follow."""
        return self._screen.dropped

    def write(self, chunk: Chunk) -> None:
        """Queue one chunk; returns at once."""
        self.open()
        self._recordings.write(chunk)
        now = time.monotonic()
        self.lost += chunk.dropped_before
        self._screen.figures.realized(now - float(np.max(chunk.captured_at)), chunk.dropped_before)
        ticks = self._gathering.add(chunk)
        if ticks:
            since = now - self._last_ticks if self._last_ticks is not None else 0.0
            self._last_ticks = now
            self._screen.put(ticks, since / len(ticks))

    def stats(self) -> dict[str, Any]:
        """Return the figures of the page."""
        return {**self._screen.stats(), "lost": self.lost}

    def close(self) -> None:
        """Stop serving, and finish a recording that the page began; may be called twice."""
        self._closed = True
        if self._server is not None:
            self._server.stop()
        self._screen.close()
        self._recordings.stop()
