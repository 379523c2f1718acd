"""A live connection to whatever a URL names: a game's harness, a window, a device."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.protocol.client import Address, GameStream, connect
from realmaster_live.bridges.gtav.protocol.framing import DEPTH, STENCIL, GameFrame
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
from realmaster_live.errors import BridgeError, ConfigError, ConnectError
from realmaster_live.optional import require

BACKOFF_S, LONGEST_BACKOFF_S = 0.25, 4.0
SCREEN = (1920, 1080)  # what a fork that sends buffers is asked for: it does not scale pictures
# fields that a fork sends as [] while it does not record
_FILLED = (DEPTH, STENCIL, "location", "speed", "CameraPosition")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a harness is asked for at the start.

    Attributes:
        game_size: width and height of its picture; over ZeroMQ the game's own resolution.
        buffer_size: of depth and stencil; None for the picture's.
        rate: frames a second at most.
        labels: names out of `depth` and `semantic`; a harness without buffers sends none.
        scenario: where and how to drive.
        others: more keys of a fork's `dataset`, as they are on the wire.
    """

    game_size: tuple[int, int]
    buffer_size: tuple[int, int] | None = None
    rate: float
    labels: tuple[str, ...] = ("depth", "semantic")
    scenario: Scenario = field(default_factory=Scenario)
    others: Mapping[str, Any] = field(default_factory=dict)

    def dataset(self, *, fork: bool) -> DatasetOptions:
        """Return the options to send, to a fork that sends buffers or to the others."""
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
    """A capture as if it were a game that sends pictures only."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    def send(self, message: Message | bytes) -> None:
        """Refuse: nobody is there who could take a message."""
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
    """Say whether a URL names a window, the screen or a device rather than a harness."""
    return url.startswith((WINDOW, DEVICE))


def is_fork(url: str) -> bool:
    """Say whether the harness of a URL is the fork that sends buffers while it records."""
    return not is_capture(url) and Address.parse(url).scheme == "deepgtav+zmq"


def open_link(url: str, ask: Ask, *, timeout_s: float) -> GameStream:
    """Return a connection that sends frames, after the handshake where there is one.

    Raises:
        ConnectError: nobody listens there. ConfigError: the URL names nothing.
    """
    if is_capture(url):
        return CaptureStream(open_capture(url, fps=ask.rate))
    stream = connect(Address.parse(url), *ask.game_size, timeout_s=timeout_s)
    try:
        fork = is_fork(url)
        stream.send(Start(scenario=ask.scenario, dataset=ask.dataset(fork=fork)))
        if fork:
            stream.send(StartRecording())
    except BaseException:
        stream.close()
        raise
    return stream


def open_again(
    url: str, ask: Ask, *, timeout_s: float, seek_s: float, closed: threading.Event
) -> GameStream | None:
    """Return a new connection after a lost one, trying ever more rarely; None once `closed`.

    Raises:
        ConnectError: nobody came back within `seek_s`.
    """
    until, pause_s = time.monotonic() + seek_s, BACKOFF_S
    while not closed.wait(pause_s):
        try:
            return open_link(url, ask, timeout_s=timeout_s)
        except ConnectError as error:
            if time.monotonic() > until:
                raise given_up(url, seek_s) from error
            pause_s = min(2.0 * pause_s, LONGEST_BACKOFF_S)
    return None


def given_up(url: str, seek_s: float) -> ConnectError:
    """Return what to raise where a lost game does not come back."""
    return ConnectError(
        f"expected {url} to come back within {seek_s:.3g} s, got nothing: start the game again "
        "and attach again"
    )


def close_link(url: str, stream: GameStream) -> None:
    """Say goodbye where somebody listens, and close."""
    if not is_capture(url):
        with contextlib.suppress(BridgeError):  # a peer that has gone needs no goodbye
            if is_fork(url):
                stream.send(StopRecording())
            stream.send(Stop())
    stream.close()


def is_filled(frame: GameFrame) -> bool:
    """Say whether the annotations that a fork sends are filled in: else it does not record yet."""
    return not any(frame.fields.get(key) == [] for key in _FILLED)


def shrunk(bgr: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 pixels of another size, in memory of their own.

    Halves by area while the picture is twice too large, the rest is bilinear: 43 dB from the exact
    area average of a street scene, at a seventh of its time.
    """
    cv2 = require("cv2", extra="gta")
    width, height = size
    small = bgr
    while small.shape[0] >= 2 * height and small.shape[1] >= 2 * width:
        half = (small.shape[1] // 2, small.shape[0] // 2)
        small = cv2.resize(small, half, interpolation=cv2.INTER_AREA)
    if small.shape[:2] != (height, width):
        larger = small.shape[0] < height or small.shape[1] < width
        way = cv2.INTER_CUBIC if larger else cv2.INTER_LINEAR
        small = cv2.resize(small, size, interpolation=way)
    return small.copy() if small is bgr else small


def rgb(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 sRGB of the game's order, or the other way about."""
    cv2 = require("cv2", extra="gta")
    swapped: NDArray[np.uint8] = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return swapped
