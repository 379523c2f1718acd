"""What is on the screen now: the ticks of a run, shown one after another at an even pace."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from realmaster_live.sinks.drawing import jpeg_bytes, png_bytes
from realmaster_live.sinks.playout import Playout
from realmaster_live.sinks.viewer.figures import Figures
from realmaster_live.sinks.viewer.layers import boxes_of
from realmaster_live.sinks.viewer.mosaic import Picture, Watch, compose
from realmaster_live.sinks.viewer.shots import Shot, TickShots

LEAST_S = 0.25  # over which a rate can be told
THREADS = 2  # that draw and encode, for all pages together


class Screen:
    """The present tick, its number, and its pictures, each made once for all pages that watch it.

    `put` may be called by any thread and never blocks; the rest belongs to the server's event loop.

    Args:
        keep_chunks: how many chunks' ticks may wait to be shown; beyond that the oldest go.
        quality: of JPEG pictures.

    Attributes:
        now: the latest shot of every camera. number: of the tick; it grows by one.
        figures: of the last minutes.
    """

    def __init__(self, *, keep_chunks: int = 2, quality: int = 80) -> None:
        self.now: TickShots = {}
        self.number = 0
        self.figures = Figures()
        self._quality = quality
        self._playout: Playout[TickShots] = Playout(keep_chunks=keep_chunks)
        self._times: deque[float] = deque(maxlen=40)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filled, self._moved = asyncio.Event(), asyncio.Event()
        self._drawn: tuple[int, dict[Watch, asyncio.Future[bytes]]] = (0, {})
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="rm-view-draw")

    @property
    def shown(self) -> int:
        """How many ticks were shown so far."""
        return self._playout.shown

    @property
    def dropped(self) -> int:
        """How many ticks were left out so far."""
        return self._playout.dropped

    def put(self, ticks: Sequence[TickShots], duration_s: float) -> None:
        """Let ticks follow those that wait, each to be shown for so long."""
        before = self._playout.dropped
        self._playout.put(ticks, duration_s)
        if self._playout.dropped > before:
            self.figures.dropped(self._playout.dropped - before)
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it was closed meanwhile
                loop.call_soon_threadsafe(self._filled.set)

    async def play(self) -> None:
        """Move on to the next tick whenever its time has come, for ever."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._filled.clear()
            following = self._playout.take()
            if following is None:
                await self._filled.wait()
                continue
            tick, duration_s = following
            self._show(tick)
            await asyncio.sleep(duration_s)

    async def after(self, number: int, timeout_s: float) -> bool:
        """Wait for another tick than `number`; return whether there is one in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.number == number:
                    await self._moved.wait()
        return self.number != number

    async def jpeg(self, watch: Watch) -> bytes:
        """Return the present mosaic as JPEG."""
        number, drawn = self._drawn
        if number != self.number:
            drawn = {}
            self._drawn = self.number, drawn
        if watch not in drawn:
            drawn[watch] = self._in_pool(_jpeg, self.now, watch, self.number, self._quality)
        return await asyncio.shield(drawn[watch])

    async def picture(self, watch: Watch) -> Picture:
        """Return the present mosaic."""
        picture: Picture = await self._in_pool(compose, self.now, watch, self.number)
        return picture

    async def png(self, watch: Watch) -> bytes:
        """Return the present mosaic as PNG."""
        encoded: bytes = await self._in_pool(_png, self.now, watch, self.number)
        return encoded

    async def boxes(self, cameras: Sequence[str]) -> dict[str, Any]:
        """Return camera -> the boxes of what can be seen, and the tick's number."""
        number, shots = self.number, [self.now[name] for name in cameras if name in self.now]
        return {"number": number, "cameras": await self._in_pool(_boxes, shots)}

    def stats(self) -> dict[str, Any]:
        """Return the figures of the present tick."""
        times = list(self._times)
        spent = times[-1] - times[0] if times else 0.0
        first = next(iter(self.now.values()), None)
        return {
            "fps": (len(times) - 1) / spent if spent > LEAST_S else 0.0,
            "latency_ms": 1e3 * (times[-1] - first.captured_at) if first and times else 0.0,
            "frame_id": first.frame_id if first else 0,
            "shown": self.shown,
            "dropped": self.dropped,
        }

    def close(self) -> None:
        """End the drawing threads."""
        self._pool.shutdown(cancel_futures=True)

    def _show(self, tick: TickShots) -> None:
        self.now = {**self.now, **tick}
        self.number += 1
        self._times.append(time.monotonic())
        first = next(iter(tick.values()))
        self.figures.shown(self._times[-1] - first.captured_at)
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _in_pool(self, work: Any, *values: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._pool, work, *values)


def _jpeg(tick: TickShots, watch: Watch, number: int, quality: int) -> bytes:
    return jpeg_bytes(compose(tick, watch, number), quality=quality)


def _png(tick: TickShots, watch: Watch, number: int) -> bytes:
    return png_bytes(compose(tick, watch, number))


def _boxes(shots: Sequence[Shot]) -> dict[str, Any]:
    return {shot.chunk.camera: boxes_of(shot) for shot in shots}
