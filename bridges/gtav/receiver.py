"""The thread that receives a game: skips stale frames, resamples, keeps only the newest.

Link -> [thread: fresh? -> resize -> convert -> tick of the constant rate] -> newest -> take()
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.frame_join import BridgeClosed
from realmaster_live.bridges.gtav.clock import ConstantRate
from realmaster_live.bridges.gtav.link import Link, Request
from realmaster_live.bridges.gtav.pictures import is_filled, rgb, shrunk
from realmaster_live.bridges.gtav.protocol.framing import GameFrame
from realmaster_live.bridges.gtav.protocol.messages import Message
from realmaster_live.bridges.gtav.protocol.stamp import read_stamp
from realmaster_live.bridges.window_capture import CaptureEnded
from realmaster_live.errors import FrameTimeout
from realmaster_live.frames.chunk import Frame

WAITING_FRAMES = 8  # that wait for a slow reader before the oldest are dropped
SLICE_S = 0.25  # how often the thread checks whether it is to end
CUT_SPEED = 150.0  # metres a second: a camera that was faster was teleported

Convert = Callable[[GameFrame, NDArray[np.uint8]], Frame]


class Receiver:
    """Connects when made, receives until `close` on a thread of its own.

    Args:
        url: of a harness, a window or a device. request: for the harness.
        size: width and height that pictures are resized to. fps: the constant rate.
        convert: makes a Frame of a game's frame and its resized picture, (H, W, 3) uint8 sRGB; its
            number and times are set here.
        timeout_s: longest wait for a fresh frame.
        reconnect_s: how long a lost connection is tried again; 0: not at all.
        hold_s: how long a picture is repeated in place of missing ones.

    `counts` has how many frames were received, stale (not recording yet, or the same picture
    again), left_out and repeated (to keep the rate), overtaken (dropped because nobody took them in
    time), skipped (by the relay), and how many cuts and reconnects there were.
    """

    def __init__(
        self,
        url: str,
        request: Request,
        *,
        size: tuple[int, int],
        fps: float,
        convert: Convert,
        timeout_s: float,
        reconnect_s: float,
        hold_s: float,
    ) -> None:
        self._url, self._size, self._convert, self._timeout_s = url, size, convert, timeout_s
        self._rate = ConstantRate(fps, hold_s=hold_s)
        self._counts: Counter[str] = Counter()
        self._waiting: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._ended: BaseException | None = None
        self._cut_requested = False
        self._last: Frame | None = None  # placed last
        self._last_picture: NDArray[np.uint8] | None = None
        self._relay_index: int | None = None  # of the last frame
        self._game_index: object = None  # likewise, as the game sent it
        self._fresh_at = time.monotonic()
        self._link = Link(
            url, request, timeout_s=timeout_s, reconnect_s=reconnect_s, closed=self._closed
        )
        self._thread = threading.Thread(target=self._work, name="rm-gta-receive", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> dict[str, int]:
        """What was received and lost so far."""
        names = ("received", "stale", "overtaken", "skipped", "cuts", "reconnects")
        counts = {name: self._counts[name] for name in names}
        return counts | {"left_out": self._rate.left_out, "repeated": self._rate.repeated}

    def take(self) -> Frame:
        """Return the next frame; missing numbers between two are lost frames.

        Raises FrameTimeout, BridgeClosed, and what ended the connection.
        """
        began = time.monotonic()
        with self._changed:
            while not self._waiting:
                if self._closed.is_set() or isinstance(self._ended, CaptureEnded):
                    raise BridgeClosed
                if self._ended is not None:
                    raise self._ended
                if self._link.lost_at is not None:
                    began = time.monotonic()
                if time.monotonic() - max(began, self._fresh_at) > self._timeout_s:
                    raise FrameTimeout(self._silence())
                self._changed.wait(SLICE_S)
            return self._waiting.popleft()

    def send(self, message: Message | bytes) -> None:
        """Send a message; raises ConnectError while the connection is lost."""
        self._link.send(message)

    def cut(self) -> None:
        """Start a new sequence with the next frame: it does not continue the last one."""
        self._cut_requested = True

    def close(self) -> None:
        """Tell the game to stop and end the thread; may be called twice."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(self._timeout_s + 1.0)

    def _work(self) -> None:
        try:
            while not self._closed.is_set():
                frame = self._link.receive(SLICE_S)
                if frame is not None:
                    self._accept(frame, time.monotonic())
        except BaseException as error:
            with self._changed:
                self._ended = error
                self._changed.notify_all()
        finally:
            self._link.close()

    def _accept(self, frame: GameFrame, arrived_at: float) -> None:
        """Place a frame, unless it is stale."""
        self._counts["received"] += 1
        small = shrunk(frame.bgr, self._size)
        if self._link.reconnects != self._counts["reconnects"]:
            self._resume(arrived_at)
        if self._is_stale(frame, small):
            self._counts["stale"] += 1
            return
        captured_at = self._captured_at(frame, arrived_at)
        if self._cut_requested:
            self._cut_requested = False
            self._cut()
        ticks = self._rate.place(captured_at)
        if not ticks:
            self._fresh_at = arrived_at
            return  # a game may send the picture again, to be placed then
        self._last_picture = small
        new = replace(self._convert(frame, rgb(small)), captured_at=arrived_at)
        if self._last is not None and _is_teleported(
            self._last, new, (ticks[-1].number - self._last.frame_id) / self._rate.fps
        ):
            self._cut()
            ticks = self._rate.place(captured_at)
        with self._changed:
            for tick in ticks:
                chosen = new if tick.is_new or self._last is None else self._last
                at = tick.number / self._rate.fps
                self._waiting.append(replace(chosen, frame_id=tick.number, timestamp=at))
            self._last = self._waiting[-1]
            while len(self._waiting) > WAITING_FRAMES:
                self._waiting.popleft()
                self._counts["overtaken"] += 1
            self._fresh_at = arrived_at
            self._changed.notify_all()

    def _is_stale(self, frame: GameFrame, small: NDArray[np.uint8]) -> bool:
        """Return whether a frame holds nothing new: not recording yet, or the last picture."""
        index, picture = frame.fields.get("index"), self._last_picture
        if not is_filled(frame) or (index is not None and index == self._game_index):
            return True
        self._game_index = index
        return picture is not None and np.array_equal(small, picture)

    def _captured_at(self, frame: GameFrame, arrived_at: float) -> float:
        """Return when the picture was captured by the relay's stamp, without one its arrival."""
        stamp = read_stamp(frame.fields)
        if stamp is None:
            return arrived_at
        if self._relay_index is not None:
            self._counts["skipped"] += max(0, stamp.index - self._relay_index - 1)
        self._relay_index = stamp.index
        return stamp.time_s

    def _cut(self) -> None:
        self._rate.restart(1)
        self._counts["cuts"] += 1

    def _resume(self, arrived_at: float) -> None:
        """Leave a gap before the first frame after a loss."""
        self._counts["reconnects"] = self._link.reconnects
        self._relay_index = self._game_index = None
        self._rate.restart(round((arrived_at - self._fresh_at) * self._rate.fps) - 1)

    def _silence(self) -> str:
        stale = self._counts["stale"]
        got = f"nothing new, {stale} stale frames so far" if stale else "nothing"
        return (
            f"expected a fresh frame of {self._url} within {self._timeout_s:g} s, got {got}: see "
            "that the game runs, is not paused and has no other client, or allow more time "
            "(--timeout)"
        )


def _is_teleported(before: Frame, after: Frame, passed_s: float) -> bool:
    """Return whether the camera was teleported between two frames rather than moved."""
    away_m = float(np.linalg.norm(after.cam_to_world[:3, 3] - before.cam_to_world[:3, 3]))
    return away_m > CUT_SPEED * passed_s
