"""The thread that receives a game: lost connections, stale frames, one constant rate, no queue.

link -> [thread: fresh? -> shrink -> convert -> tick of the rate] -> the newest few -> take()
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.frame_join import BridgeClosed
from realmaster_live.bridges.gtav.clock import ConstantRate
from realmaster_live.bridges.gtav.link import (
    Ask,
    close_link,
    given_up,
    is_filled,
    open_again,
    open_link,
    rgb,
    shrunk,
)
from realmaster_live.bridges.gtav.protocol.client import GameStream
from realmaster_live.bridges.gtav.protocol.framing import GameFrame
from realmaster_live.bridges.gtav.protocol.messages import Message
from realmaster_live.bridges.gtav.protocol.stamp import read_stamp
from realmaster_live.bridges.window_capture import CaptureEnded
from realmaster_live.errors import BridgeError, ConnectError, FrameTimeout, WireFormatError
from realmaster_live.frames.chunk import Frame

log = logging.getLogger(__name__)

WAITING_FRAMES = 8  # so many may wait for a slow reader before the oldest go
SLICE_S = 0.25  # the thread looks as often whether it is to end
CUT_SPEED = 150.0  # metres a second: a camera that was faster was put elsewhere

Convert = Callable[[GameFrame, NDArray[np.uint8]], Frame]


class Receiver:
    """Connects when made, receives until `close` on a thread of its own.

    Args:
        url: of a harness, a window or a device. ask: for the harness.
        size: width and height that pictures are brought to. fps: the constant rate.
        convert: makes a Frame of what came and its picture, (H, W, 3) uint8 sRGB; its number and
            times are set here.
        timeout_s: longest wait for a fresh frame.
        reconnect_s: how long a lost connection is sought again; 0: not at all.
        hold_s: how long a picture stands in for missing ones.

    `counts` says how many frames were received, stale (not recording yet, or the same picture
    again), left_out and repeated (to keep the rate), overtaken (nobody took them in time), skipped
    (by the relay), and how many cuts and reconnects there were.
    """

    def __init__(
        self,
        url: str,
        ask: Ask,
        *,
        size: tuple[int, int],
        fps: float,
        convert: Convert,
        timeout_s: float,
        reconnect_s: float,
        hold_s: float,
    ) -> None:
        self._url, self._ask, self._size, self._convert = url, ask, size, convert
        self._timeout_s, self._reconnect_s = timeout_s, reconnect_s
        self._rate = ConstantRate(fps, hold_s=hold_s)
        self._counts: Counter[str] = Counter()
        self._waiting: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._ended: BaseException | None = None
        self._lost_at: float | None = None  # until the first frame after it
        self._cut_asked = False
        self._last: Frame | None = None  # placed last
        self._last_picture: NDArray[np.uint8] | None = None
        self._last_index: int | None = None  # of the relay
        self._last_told: object = None  # index of the game
        self._fresh_at = time.monotonic()
        self._stream: GameStream = open_link(url, ask, timeout_s=timeout_s)
        self._thread = threading.Thread(target=self._work, name="rm-gta-receive", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> dict[str, int]:
        """What was received and lost so far."""
        names = ("received", "stale", "overtaken", "skipped", "cuts", "reconnects")
        counts = {name: self._counts[name] for name in names}
        return counts | {"left_out": self._rate.left_out, "repeated": self._rate.repeated}

    def take(self) -> Frame:
        """Return the next frame; numbers that are missing between two were lost.

        Raises FrameTimeout, BridgeClosed, and what ended the connection.
        """
        began = time.monotonic()
        with self._changed:
            while not self._waiting:
                if self._closed.is_set() or isinstance(self._ended, CaptureEnded):
                    raise BridgeClosed
                if self._ended is not None:
                    raise self._ended
                if self._lost_at is not None:
                    began = time.monotonic()
                if time.monotonic() - max(began, self._fresh_at) > self._timeout_s:
                    raise FrameTimeout(self._silence())
                self._changed.wait(SLICE_S)
            return self._waiting.popleft()

    def send(self, message: Message | bytes) -> None:
        """Send a message; raises ConnectError while the connection is lost."""
        if self._lost_at is not None or self._closed.is_set():
            raise ConnectError(
                f"expected a connection to {self._url}, got none at the moment: wait for the next "
                "frame, then send again"
            )
        self._stream.send(message)

    def cut(self) -> None:
        """Let what comes from now on not follow what was."""
        self._cut_asked = True

    def close(self) -> None:
        """Say goodbye and end the thread; may be called twice."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(self._timeout_s + 1.0)

    def _work(self) -> None:
        try:
            while not self._closed.is_set():
                try:
                    frame = self._stream.receive(SLICE_S)
                except FrameTimeout as error:
                    self._check_patience(error)
                except (ConnectError, WireFormatError) as error:
                    if not self._counts["received"]:
                        raise  # it never worked: another try would be the same
                    self._reconnect(error)
                else:
                    self._accept(frame, time.monotonic())
        except BaseException as error:
            with self._changed:
                self._ended = error
                self._changed.notify_all()
        finally:
            close_link(self._url, self._stream)

    def _accept(self, frame: GameFrame, arrived_at: float) -> None:
        """Place a frame, unless it is stale."""
        self._counts["received"] += 1
        small = shrunk(frame.bgr, self._size)
        if self._lost_at is not None:
            self._resume(arrived_at)
        if self._is_stale(frame, small):
            self._counts["stale"] += 1
            return
        moment = self._moment(frame, arrived_at)
        if self._cut_asked:
            self._cut_asked = False
            self._cut()
        ticks = self._rate.place(moment)
        if not ticks:
            self._fresh_at = arrived_at
            return  # the picture may come again, to be placed then
        self._last_picture = small
        new = replace(self._convert(frame, rgb(small)), captured_at=arrived_at)
        if self._last is not None and _is_elsewhere(
            self._last, new, (ticks[-1].number - self._last.frame_id) / self._rate.fps
        ):
            self._cut()
            ticks = self._rate.place(moment)
        with self._changed:
            for tick in ticks:
                shown = new if tick.is_new or self._last is None else self._last
                at = tick.number / self._rate.fps
                self._waiting.append(replace(shown, frame_id=tick.number, timestamp=at))
            self._last = self._waiting[-1]
            while len(self._waiting) > WAITING_FRAMES:
                self._waiting.popleft()
                self._counts["overtaken"] += 1
            self._fresh_at = arrived_at
            self._changed.notify_all()

    def _is_stale(self, frame: GameFrame, small: NDArray[np.uint8]) -> bool:
        """Say whether a frame shows nothing new: not recording yet, or what was there before."""
        index, picture = frame.fields.get("index"), self._last_picture
        if not is_filled(frame) or (index is not None and index == self._last_told):
            return True
        self._last_told = index
        return picture is not None and np.array_equal(small, picture)

    def _moment(self, frame: GameFrame, arrived_at: float) -> float:
        """Return when the picture was taken: as the relay says, else its arrival."""
        stamp = read_stamp(frame.fields)
        if stamp is None:
            return arrived_at
        if self._last_index is not None:
            self._counts["skipped"] += max(0, stamp.index - self._last_index - 1)
        self._last_index = stamp.index
        return stamp.time_s

    def _cut(self) -> None:
        self._rate.restart(1)
        self._counts["cuts"] += 1

    def _reconnect(self, error: BridgeError) -> None:
        """Connect again, trying ever more rarely; raise where that does not help."""
        if not self._reconnect_s:
            raise error
        if self._lost_at is None:
            log.warning("%s: the connection was lost (%s), connecting again", self._url, error)
            self._lost_at = time.monotonic()
        self._check_patience(error)
        self._stream.close()
        found = open_again(
            self._url,
            self._ask,
            timeout_s=self._timeout_s,
            seek_s=self._lost_at + self._reconnect_s - time.monotonic(),
            closed=self._closed,
        )
        self._stream = found or self._stream

    def _check_patience(self, error: BridgeError) -> None:
        """Raise where a game that was lost has not sent a frame for too long."""
        if self._lost_at is not None and time.monotonic() - self._lost_at > self._reconnect_s:
            raise given_up(self._url, self._reconnect_s) from error

    def _resume(self, arrived_at: float) -> None:
        """Take note of the first frame after a loss."""
        assert self._lost_at is not None
        log.warning("%s: connected again after %.1f s", self._url, arrived_at - self._lost_at)
        self._counts["reconnects"] += 1
        self._last_index = self._last_told = None
        self._rate.restart(round((arrived_at - self._fresh_at) * self._rate.fps) - 1)
        self._lost_at = None

    def _silence(self) -> str:
        stale = self._counts["stale"]
        got = f"nothing new, {stale} stale frames so far" if stale else "nothing"
        return (
            f"expected a fresh frame of {self._url} within {self._timeout_s:g} s, got {got}: see "
            "that the game runs, is not paused and has no other client, or raise timeout_s"
        )


def _is_elsewhere(before: Frame, after: Frame, passed_s: float) -> bool:
    """Say whether the camera was put elsewhere between two frames rather than moved."""
    away_m = float(np.linalg.norm(after.cam_to_world[:3, 3] - before.cam_to_world[:3, 3]))
    return away_m > CUT_SPEED * passed_s
