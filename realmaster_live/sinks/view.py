"""A page on this machine that shows the live render and the realized picture side by side."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.optional import require
from realmaster_live.sinks.drawing import jpeg_bytes
from realmaster_live.sinks.page import PAGE
from realmaster_live.sinks.video import side_by_side

web = require("aiohttp.web", extra="live")

log = logging.getLogger(__name__)
HOST = "127.0.0.1"  # pictures of a private world are nobody else's: no other address is offered
BOUNDARY = "realmaster"
HURRY = 0.8  # how much shorter a picture stays while too many wait
LONGEST_S = 1.0  # how long one picture stays when chunks come slowly
START_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """One picture of the page, and how long it stays."""

    picture: NDArray[np.uint8]
    frame_id: int
    captured_at: float
    stay_s: float


class LiveView:
    """A sink that never blocks: when the page cannot follow, the oldest pictures go, counted.

    The frames of a chunk are spread over the time that the next one takes to come, so that the
    page moves evenly. Pictures are only encoded while somebody looks. The page shows the camera
    whose chunk comes first.

    Args:
        port: 0 takes any free one; see `url`.
        keep_chunks: how many chunks may wait to be shown.
        quality: of the JPEG pictures.

    Raises:
        ConfigError: the port cannot be taken.
    """

    def __init__(self, *, port: int = 0, keep_chunks: int = 2, quality: int = 80) -> None:
        self.url = ""
        self.dropped = 0
        self.lost = 0
        self.shown = 0
        self._keep_chunks = keep_chunks
        self._quality = quality
        self._waiting: deque[_Shown] = deque()
        self._room = 1  # pictures that may wait before the page hurries
        self._lock = threading.Lock()
        self._last_write: float | None = None
        self._times: deque[float] = deque(maxlen=40)
        self._current: _Shown | None = None
        self._camera: str | None = None
        self._jpeg: tuple[int, bytes] = (0, b"")
        self._ready = threading.Event()
        self._failed: OSError | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._serve, args=(port,), name="rm-view", daemon=True
        )
        self._thread.start()
        self._ready.wait(START_S)
        if self._failed is not None:
            self.close()
            raise ConfigError(
                f"expected a free port for the view, got {self._failed}: choose another, or 0"
            ) from self._failed

    def __enter__(self) -> LiveView:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, chunk: Chunk) -> None:
        """Queue one chunk for showing; returns at once."""
        self._camera = self._camera or chunk.camera
        if chunk.camera != self._camera:
            return
        now = time.monotonic()
        since = now - self._last_write if self._last_write is not None else 0.0
        self._last_write = now
        rendered = chunk.frames if chunk.rendered is None else chunk.rendered
        stay = min(LONGEST_S, since / len(chunk))
        shown = [
            _Shown(
                picture=side_by_side(rendered[row], chunk.frames[row]),
                frame_id=int(chunk.frame_ids[row]),
                captured_at=float(chunk.captured_at[row]),
                stay_s=stay,
            )
            for row in range(len(chunk))
        ]
        with self._lock:
            self.lost += chunk.dropped_before
            self._waiting.extend(shown)
            self._room = max(1, (self._keep_chunks - 1) * len(chunk))
            while len(self._waiting) > self._keep_chunks * len(chunk):
                self._waiting.popleft()
                self.dropped += 1

    def stats(self) -> dict[str, Any]:
        """Return what the page shows below the pictures."""
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
        if not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it may end between the check and the call
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self, port: int) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.2)
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
        application = web.Application(middlewares=[web.middleware(_only_this_machine)])
        application.router.add_get("/", self._page)
        application.router.add_get("/stats.json", self._stats)
        application.router.add_get("/live.mjpg", self._stream)
        return application

    async def _play(self) -> None:
        """Move on to the next picture when its time has come."""
        while True:
            with self._lock:
                following = self._waiting.popleft() if self._waiting else None
                late = len(self._waiting) >= self._room
            if following is None:
                await asyncio.sleep(0.005)
                continue
            self._current = following
            self._times.append(time.monotonic())
            self.shown += 1
            await asyncio.sleep(following.stay_s * (HURRY if late else 1.0))

    async def _page(self, request: Any) -> Any:
        return web.Response(text=PAGE, content_type="text/html")

    async def _stats(self, request: Any) -> Any:
        return web.json_response(self.stats(), headers={"Cache-Control": "no-store"})

    async def _stream(self, request: Any) -> Any:
        """Send every picture as it comes; a slow reader skips to the newest."""
        response = web.StreamResponse(
            headers={
                "Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}",
                "Cache-Control": "no-store",
            }
        )
        await response.prepare(request)
        sent = 0
        with contextlib.suppress(ConnectionError):
            await response.write(f"--{BOUNDARY}\r\n".encode())
            while True:
                if self.shown == sent:
                    await asyncio.sleep(0.005)
                    continue
                sent = self.shown
                image = self._encoded()
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                # with the next boundary at once: a browser shows a picture when it sees the end
                await response.write(head.encode() + image + f"\r\n--{BOUNDARY}\r\n".encode())
        return response

    def _encoded(self) -> bytes:
        """Return the current picture as JPEG, encoded once for all who look."""
        if self._jpeg[0] != self.shown:
            assert self._current is not None
            self._jpeg = (self.shown, jpeg_bytes(self._current.picture, quality=self._quality))
        return self._jpeg[1]


async def _only_this_machine(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    """Refuse other host names: a foreign page may point its own at this address."""
    if request.host.partition(":")[0] not in {HOST, "localhost"}:
        raise web.HTTPForbidden(text="this view answers on 127.0.0.1 and localhost only")
    return await handler(request)
