"""Serves the page about some recordings."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from realmaster_live.datasets.selection import Selection, drives_of
from realmaster_live.datasets.view.routes import DatasetRoutes
from realmaster_live.sinks.viewer.access import Access
from realmaster_live.sinks.viewer.live_view import HOST, TOKEN_BYTES
from realmaster_live.sinks.viewer.serving import ServingThread, is_this_machine


class DatasetView:
    """A page that shows recordings, served while its `with` block lasts.

    Args:
        folders: of the recordings.
        port: 0 takes any free one.
        host: address to listen on; one that others reach needs a token.
        token: grants access to the page; generated if it is needed but not given.

    Attributes:
        url: the page's address, with the token if there is one; empty until it is open.

    Raises:
        RecordingError: a folder is no recording.
        ConfigError: the port cannot be taken, the token is too short, or a recording is named
            twice.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        port: int = 0,
        host: str = HOST,
        token: str | None = None,
    ) -> None:
        self.url = ""
        if token is None and not is_this_machine(host):
            token = secrets.token_urlsafe(TOKEN_BYTES)
        self._token = token
        drives = drives_of(Selection(recordings=tuple(folders)))
        self._routes = DatasetRoutes(drives, Access(token))
        self._server = ServingThread(host, port)

    def __enter__(self) -> DatasetView:
        self._server.start(self._routes.application(), self._routes.check)
        self.url = self._server.url + (f"?token={self._token}" if self._token else "")
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.stop()

    def __repr__(self) -> str:
        """Say where the page is."""
        return f"DatasetView({self.url.partition('?')[0] or 'not open yet'})"
