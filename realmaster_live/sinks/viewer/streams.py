"""What the server sends as long as a page is open: pictures as MJPEG, and events.

Both give a reader the newest there is when it has taken what came before: one that is slow skips,
and one that never reads holds one picture and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.optional import require
from realmaster_live.sinks.viewer.mosaic import Watch
from realmaster_live.sinks.viewer.screen import Screen

web = require("aiohttp.web", extra="live")

BOUNDARY = "realmaster"
MOST_READERS = 32  # of each kind
STATE_EVERY_S = 0.5
IDLE_S = 5.0  # after which a reader that waits for a picture is looked after


class Streams:
    """The endless answers of one view.

    Args:
        screen: what is shown.
        state: returns what the page says of the run, as JSON values.
    """

    def __init__(self, screen: Screen, state: Callable[[], dict[str, Any]]) -> None:
        self._screen = screen
        self._state = state
        self._readers = {"pictures": 0, "events": 0}

    async def pictures(self, request: Any) -> Any:
        """Send each tick's mosaic as multipart JPEG: `camera`s, a `layer`, and its strip."""
        watch = watch_of(request)
        response = web.StreamResponse(
            headers={"Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}"}
        )
        with self._one_more("pictures"), contextlib.suppress(ConnectionError):
            await response.prepare(request)
            await response.write(f"--{BOUNDARY}\r\n".encode())
            async for image in self._jpegs(request, watch):
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                # the next boundary at once: a browser shows a picture only when it has its end
                await response.write(head.encode() + image + f"\r\n--{BOUNDARY}\r\n".encode())
        return response

    async def events(self, request: Any) -> Any:
        """Send server-sent events: `state`, finished `seconds`, and `boxes` of some `camera`s."""
        cameras = request.query.getall("boxes", [])
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        with self._one_more("events"), contextlib.suppress(ConnectionError):
            await response.prepare(request)
            async for name, value in self._news(cameras):
                text = f"event: {name}\ndata: {json.dumps(value)}\n\n"
                await response.write(text.encode())
        return response

    async def _jpegs(self, request: Any, watch: Watch) -> AsyncIterator[bytes]:
        sent = 0
        while True:
            if await self._screen.after(sent, IDLE_S):
                sent = self._screen.number
                yield await self._screen.jpeg(watch)
            elif request.transport is None or request.transport.is_closing():
                return

    async def _news(self, cameras: list[str]) -> AsyncIterator[tuple[str, Any]]:
        last_number, second, due = 0, 0, 0.0
        while True:
            if time.monotonic() >= due:
                due = time.monotonic() + STATE_EVERY_S
                yield "state", self._state()
                if seconds := self._screen.figures.since(second):
                    second = seconds[-1].number + 1
                    yield "seconds", [one.as_json() for one in seconds]
            left_s = max(0.0, due - time.monotonic())
            if not cameras:
                await asyncio.sleep(left_s)
            elif await self._screen.after(last_number, left_s):
                boxes = await self._screen.boxes(cameras)
                last_number = boxes["number"]
                yield "boxes", boxes

    @contextlib.contextmanager
    def _one_more(self, kind: str) -> Any:
        """Count a reader; refuse it where there are too many."""
        if self._readers[kind] >= MOST_READERS:
            raise web.HTTPServiceUnavailable(
                text=f"expected {MOST_READERS} readers of {kind} at most: close a page"
            )
        self._readers[kind] += 1
        try:
            yield
        finally:
            self._readers[kind] -= 1


def watch_of(request: Any, **more: Any) -> Watch:
    """Return what the query of an address watches; HTTPBadRequest for what cannot be."""
    query = request.query
    values = {
        "cameras": query.getall("camera", []),
        "layer": query.get("layer", ""),
        "strip": query.get("strip", ""),
    }
    try:
        return Watch.of(values | more)
    except ConfigError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
