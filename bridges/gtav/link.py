"""A live connection to whatever a URL names: a game's harness, a window, a device.

A `Link` connects again after a loss, trying ever more rarely, until it gives up.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from realmaster_live.bridges.gtav.protocol.client import Address, GameStream, connect
from realmaster_live.bridges.gtav.protocol.framing import GameFrame
from realmaster_live.bridges.gtav.protocol.messages import (
    DatasetOptions,
    Message,
    Scenario,
    Start,
    StartRecording,
    Stop,
    StopRecording,
)
from realmaster_live.bridges.window_capture import DEVICE, WINDOW, Capture, open_capture
from realmaster_live.errors import (
    BridgeError,
    ConfigError,
    ConnectError,
    FrameTimeout,
    WireFormatError,
)

log = logging.getLogger(__name__)

BACKOFF_S, LONGEST_BACKOFF_S = 0.25, 4.0
SCREEN = (1920, 1080)  # requested of a fork that sends buffers, which does not scale pictures


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to request of a harness.

    Attributes:
        game_size: width and height of its picture; over ZeroMQ the game's own resolution.
        buffer_size: of depth and stencil; None for the picture's.
        rate: frames a second at most.
        labels: names out of `depth` and `semantic`; a harness without buffers sends none.
        scenario: where and how to drive.
        others: further keys of a fork's `dataset`, as they are on the wire.
    """

    game_size: tuple[int, int]
    buffer_size: tuple[int, int] | None = None
    rate: float
    labels: tuple[str, ...] = ("depth", "semantic")
    scenario: Scenario = field(default_factory=Scenario)
    others: Mapping[str, Any] = field(default_factory=dict)

    def dataset(self, *, fork: bool) -> DatasetOptions:
        """Return the options to send, to a fork that sends buffers, or to another harness."""
        return DatasetOptions(
            rate=self.rate,
            frame=(self.buffer_size or self.game_size) if fork else self.game_size,
            screen_resolution=self.game_size if fork else None,
            depth_buffer="depth" in self.labels,
            stencil_buffer="semantic" in self.labels or "depth" in self.labels,
            speed=True,
            location=True,
            others=self.others,
        )


class CaptureStream:
    """A window or a device as a game that sends pictures only."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    def send(self, message: Message | bytes) -> None:
        """Refuse: a capture takes no messages."""
        raise ConfigError(
            f"expected a game that takes messages, got a capture and {type(message).__name__}: "
            "connect to a harness by deepgtav+tcp:// or deepgtav+zmq://"
        )

    def receive(self, timeout_s: float) -> GameFrame:
        """Return the next picture; it may be overwritten by the next."""
        picture = self._capture.read(timeout_s)
        return GameFrame(bgr=picture, fields={}, image_bytes=picture.nbytes, fields_bytes=0)

    def close(self) -> None:
        """Release the window or the device."""
        self._capture.close()


def is_capture(url: str) -> bool:
    """Return whether a URL names a window, the screen or a device rather than a harness."""
    return url.startswith((WINDOW, DEVICE))


def is_fork(url: str) -> bool:
    """Return whether the harness of a URL is the fork that sends buffers while it records."""
    return not is_capture(url) and Address.parse(url).scheme == "deepgtav+zmq"


def open_link(url: str, request: Request, *, timeout_s: float) -> GameStream:
    """Return a connection that sends frames, after the handshake where there is one.

    Raises:
        ConnectError: nobody listens there. ConfigError: the URL names nothing.
    """
    if is_capture(url):
        return CaptureStream(open_capture(url, fps=request.rate))
    stream = connect(Address.parse(url), *request.game_size, timeout_s=timeout_s)
    try:
        fork = is_fork(url)
        stream.send(Start(scenario=request.scenario, dataset=request.dataset(fork=fork)))
        if fork:
            stream.send(StartRecording())
    except BaseException:
        stream.close()
        raise
    return stream


def close_link(url: str, stream: GameStream) -> None:
    """Tell a harness to stop, and close."""
    if not is_capture(url):
        with contextlib.suppress(BridgeError):  # it may be gone already
            if is_fork(url):
                stream.send(StopRecording())
            stream.send(Stop())
    stream.close()


class Link:
    """A connection that is made again after a loss; connects when made.

    Args:
        url: of a harness, a window or a device. request: for the harness.
        timeout_s: longest wait for the game to connect.
        reconnect_s: how long a lost connection is tried again; 0: not at all.
        closed: set by the owner, ends every wait.

    Attributes:
        lost_at: monotonic time of the loss while there is no connection, else None.
        reconnects: how many times the connection was made again and a frame came.
    """

    def __init__(
        self,
        url: str,
        request: Request,
        *,
        timeout_s: float,
        reconnect_s: float,
        closed: threading.Event,
    ) -> None:
        self._url, self._request, self._timeout_s = url, request, timeout_s
        self._reconnect_s, self._closed = reconnect_s, closed
        self._worked = False
        self.lost_at: float | None = None
        self.reconnects = 0
        self._stream: GameStream = open_link(url, request, timeout_s=timeout_s)

    def receive(self, timeout_s: float) -> GameFrame | None:
        """Return the next frame; None where none came in time or while the connection is lost.

        Raises:
            ConnectError: a lost game did not come back within `reconnect_s`.
            ConnectError, WireFormatError: the connection never worked, or is not made again.
        """
        try:
            frame = self._stream.receive(timeout_s)
        except FrameTimeout as error:
            self._check_patience(error)
            return None
        except (ConnectError, WireFormatError) as error:
            if not self._worked or not self._reconnect_s:
                raise  # it never worked: another attempt would fail as this one did
            self._reconnect(error)
            return None
        self._worked = True
        if self.lost_at is not None:
            away_s = time.monotonic() - self.lost_at
            log.warning("%s: connected again after %.1f s", self._url, away_s)
            self.lost_at = None
            self.reconnects += 1
        return frame

    def send(self, message: Message | bytes) -> None:
        """Send a message; raises ConnectError while the connection is lost."""
        if self.lost_at is not None or self._closed.is_set():
            raise ConnectError(
                f"expected a connection to {self._url}, got none at the moment: wait for the next "
                "frame, then send again"
            )
        self._stream.send(message)

    def close(self) -> None:
        """Tell a harness to stop, and close."""
        close_link(self._url, self._stream)

    def _reconnect(self, error: BridgeError) -> None:
        if self.lost_at is None:
            log.warning("%s: the connection was lost (%s), connecting again", self._url, error)
            self.lost_at = time.monotonic()
        self._check_patience(error)
        self._stream.close()
        pause_s = BACKOFF_S
        while not self._closed.wait(pause_s):
            try:
                self._stream = open_link(self._url, self._request, timeout_s=self._timeout_s)
                return
            except ConnectError as failure:
                self._check_patience(failure)
                pause_s = min(2.0 * pause_s, LONGEST_BACKOFF_S)

    def _check_patience(self, error: BridgeError) -> None:
        """Raise where a lost game has not sent a frame for too long."""
        if self.lost_at is not None and time.monotonic() - self.lost_at > self._reconnect_s:
            raise ConnectError(
                f"expected {self._url} to come back within {self._reconnect_s:.3g} s, got nothing: "
                "start the game again and attach again"
            ) from error
