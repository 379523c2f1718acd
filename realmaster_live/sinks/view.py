"""A web page on this machine with the simulator's and the realized picture side by side."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.optional import require
from realmaster_live.sinks.access import HEADERS, http_log, only_this_machine
from realmaster_live.sinks.drawing import jpeg_bytes
from realmaster_live.sinks.page import PAGE
from realmaster_live.sinks.playout import Playout
from realmaster_live.sinks.video import side_by_side

web = require("aiohttp.web", extra="live")

log = logging.getLogger(__name__)

HOST = "127.0.0.1"  # the pictures are private: no other address is offered
BOUNDARY = "realmaster"
POLL_S = 0.005
START_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """One picture of the page."""

    pixels: NDArray[np.uint8]
    frame_id: int
    captured_at: float


class LiveView:
    """A sink that never blocks: when the page cannot follow, the oldest pictures are dropped.

    The frames of a chunk are spread over the time between the last two chunks, so that the page
    moves evenly. Pictures are encoded only while somebody watches. The page shows the camera whose
    chunk arrives first.

    Making it serves nothing: the page is opened by `with`, by `run` or by the first chunk.

    Args:
        port: 0 takes any free one; see `url`, which is empty until the page is open.
        keep_chunks: how many chunks may wait to be shown.
        quality: of the JPEG pictures.

    Attributes:
        url: the page's address. lost: frames that were lost before the view.

    Raises:
        ConfigError: the port cannot be taken.
    """

    def __init__(self, *, port: int = 0, keep_chunks: int = 2, quality: int = 80) -> None:
        self.url = ""
        self.lost = 0
        self._quality = quality
        self._playout: Playout[_Picture] = Playout(keep_chunks=keep_chunks)
        self._last_write: float | None = None
        self._times: deque[float] = deque(maxlen=40)
        self._current: _Picture | None = None
        self._camera: str | None = None
        self._jpeg: tuple[int, bytes] = (0, b"")
        self._ready = threading.Event()
        self._failed: OSError | None = None
        self._port = port
        self._thread: threading.Thread | None = None
        self._closed = False

    def __enter__(self) -> LiveView:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Say where the page is and how many pictures it has shown."""
        where = self.url or "not open yet"
        return f"LiveView({'closed' if self._closed else where}, {self.shown} pictures shown)"

    @property
    def is_open(self) -> bool:
        """Whether the page was opened and not closed yet."""
        return self._thread is not None and not self._closed

    def open(self) -> None:
        """Serve the page from now on; does nothing where it is served already."""
        if self._closed:
            raise ConfigError("expected a view that was not closed, got a closed one: make another")
        if self._thread is not None:
            return
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(self._port,), name="rm-view")
        self._thread.daemon = True
        self._thread.start()
        self._ready.wait(START_S)
        if self._failed is not None:
            self.close()
            raise ConfigError(
                f"expected a free port for the view, got {self._failed}: choose another, or 0"
            ) from self._failed

    def begin(self, run: RunInfo) -> None:
        """Open the page where it is not open, and say where it is."""
        if not self.is_open:
            self.open()
            log.warning("live view: %s", self.url)  # at a level that a bare program shows

    @property
    def shown(self) -> int:
        """How many pictures were shown so far."""
        return self._playout.shown

    @property
    def dropped(self) -> int:
        """How many pictures the page could not follow."""
        return self._playout.dropped

    def write(self, chunk: Chunk) -> None:
        """Queue one chunk; returns at once."""
        self.open()
        self._camera = self._camera or chunk.camera
        if chunk.camera != self._camera:
            return
        now = time.monotonic()
        since = now - self._last_write if self._last_write is not None else 0.0
        self._last_write = now
        rendered = chunk.frames if chunk.rendered is None else chunk.rendered
        pictures = [
            _Picture(
                pixels=side_by_side(rendered[row], chunk.frames[row]),
                frame_id=int(chunk.frame_ids[row]),
                captured_at=float(chunk.captured_at[row]),
            )
            for row in range(len(chunk))
        ]
        self.lost += chunk.dropped_before
        self._playout.put(pictures, since / len(chunk))

    def stats(self) -> dict[str, Any]:
        """Return the figures below the pictures of the page."""
        times = list(self._times)
        spent = times[-1] - times[0] if len(times) > 1 else 0.0
        current = self._current
        return {
            "fps": (len(times) - 1) / spent if spent else 0.0,
            "latency_ms": 1e3 * (times[-1] - current.captured_at) if current and times else 0.0,
            "frame_id": current.frame_id if current else 0,
            "shown": self.shown,
            "lost": self.lost,
            "dropped": self.dropped,
        }

    def close(self) -> None:
        """Stop serving; may be called twice."""
        self._closed = True
        if self._thread is None:
            return
        if not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it may end between the check and the call
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self, port: int) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            logger=http_log(f"{__name__}.http"),
            shutdown_timeout=0.2,
        )
        try:
            self._loop.run_until_complete(self._start(runner, port))
            player = self._loop.create_task(self._play())
            self._ready.set()
            self._loop.run_forever()
            player.cancel()
            self._loop.run_until_complete(asyncio.wait([player]))
        except OSError as error:
            self._failed = error
        finally:
            self._loop.run_until_complete(runner.cleanup())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
            self._ready.set()

    async def _start(self, runner: Any, port: int) -> None:
        await runner.setup()
        await web.TCPSite(runner, HOST, port).start()
        self.url = f"http://{HOST}:{runner.addresses[0][1]}/"

    def _application(self) -> Any:
        application = web.Application(middlewares=[only_this_machine])
        application.router.add_get("/", self._page)
        application.router.add_get("/stats.json", self._stats)
        application.router.add_get("/live.mjpg", self._stream)
        return application

    async def _play(self) -> None:
        """Move on to the next picture when its time has come."""
        while True:
            following = self._playout.take()
            if following is None:
                await asyncio.sleep(POLL_S)
                continue
            self._current, duration_s = following
            self._times.append(time.monotonic())
            await asyncio.sleep(duration_s)

    async def _page(self, request: Any) -> Any:
        return web.Response(text=PAGE, content_type="text/html", headers=HEADERS)

    async def _stats(self, request: Any) -> Any:
        return web.json_response(self.stats(), headers=HEADERS)

    async def _stream(self, request: Any) -> Any:
        """Send every picture when it is due; a slow reader skips to the newest."""
        response = web.StreamResponse(
            headers=HEADERS | {"Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}"}
        )
        await response.prepare(request)
        sent = 0
        with contextlib.suppress(ConnectionError):
            await response.write(f"--{BOUNDARY}\r\n".encode())
            while True:
                if self._current is None or self.shown == sent:
                    await asyncio.sleep(POLL_S)
                    continue
                sent = self.shown
                image = self._encoded()
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                # the next boundary at once: a browser shows a picture only when it has its end
                await response.write(head.encode() + image + f"\r\n--{BOUNDARY}\r\n".encode())
        return response

    def _encoded(self) -> bytes:
        """Return the current picture as JPEG, encoded once for all clients."""
        if self._jpeg[0] != self.shown:
            assert self._current is not None
            self._jpeg = (self.shown, jpeg_bytes(self._current.pixels, quality=self._quality))
        return self._jpeg[1]
