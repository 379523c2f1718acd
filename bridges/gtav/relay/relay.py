"""The small process beside the game: captures, resizes, stamps, serves and displays.

    game or window -> [capture thread] -> newest frame -> [serve thread] <-> one client over TCP
                                    run(): display <- playout <- realized <-+

A client speaks DeepGTAV's protocol to it as to the game; its messages to the game are passed on.
The newest frame wins everywhere: a slow client gets fewer frames, never old ones. Whatever a client
sends costs at most itself: a message that cannot be read is left out, a picture is of at most
MAX_PIXELS, a message of at most MAX_REALIZED bytes, and two realized chunks wait to be displayed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.camera import VFOV_DEG
from realmaster_live.bridges.gtav.link import Link, Request, is_capture
from realmaster_live.bridges.gtav.pictures import is_filled, shrunk
from realmaster_live.bridges.gtav.protocol.client import Address
from realmaster_live.bridges.gtav.protocol.framing import (
    DEPTH,
    STENCIL,
    Buffer,
    GameFrame,
    buffer_field,
    depth_ndc,
    stencil,
    stride_of,
)
from realmaster_live.bridges.gtav.protocol.message_codec import decode_message
from realmaster_live.bridges.gtav.protocol.messages import (
    MAX_MESSAGE,
    Config,
    DatasetOptions,
    Message,
    Start,
    Stop,
)
from realmaster_live.bridges.gtav.protocol.server import IDLE_S, TcpServer
from realmaster_live.bridges.gtav.protocol.stamp import (
    MAX_REALIZED,
    Realized,
    Stamp,
    decode_realized,
    is_realized,
)
from realmaster_live.bridges.gtav.relay.display import Display
from realmaster_live.bridges.window_capture import CaptureEnded
from realmaster_live.errors import ConfigError, ConnectError, WireFormatError
from realmaster_live.optional import require
from realmaster_live.sinks.playout import Playout

log = logging.getLogger(__name__)

SLICE_S = 0.1  # how often a thread checks whether it is to end
POLL_S = 0.005  # how often a client is read while no frame comes: a chunk takes a few reads
RECONNECT_S = 3600.0  # how long a lost game is waited for

Size = tuple[int, int]  # width, height


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """A frame that is ready to be sent."""

    image: Buffer
    fields: bytes


class Relay:
    """Serves the frames of a game or a window to one client at a time; connects when made.

    Args:
        url: the game or the window, as for `GtavBridge`. listen: a `deepgtav+tcp` address.
        request: to the game. size: width and height to send where a client names none.
        display: for realized chunks; without it clients are told to send none.
        near_m: the near clip, for the stamps. vfov_deg: vertical field of view, likewise.
        timeout_s: longest wait for the game to connect.
        idle_s: how long a client that has not started may keep another one waiting.

    `counts` has how many frames were captured, sent, and overtaken before a client took them, and
    how many realized pictures were shown and left out.
    """

    def __init__(
        self,
        url: str,
        listen: Address,
        *,
        request: Request,
        size: Size = (512, 288),
        display: Display | None = None,
        near_m: float | None = None,
        vfov_deg: float = VFOV_DEG,
        timeout_s: float = 10.0,
        idle_s: float = IDLE_S,
    ) -> None:
        self._url, self._request, self._timeout_s = url, request, timeout_s
        self._own_size, self._display = size, display
        self._near_m, self._vfov_deg = near_m, vfov_deg
        self._counts: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._newest: _Pair | None = None
        self._requested: Size | None = None  # None: no client wants frames
        self._playout: Playout[NDArray[np.uint8]] = Playout()
        self._closed = threading.Event()
        self._ended: BaseException | None = None
        if listen.scheme != "deepgtav+tcp":
            raise ConfigError(
                f"expected to listen at deepgtav+tcp://host:port, got {listen}: ZeroMQ's pair is "
                "for the game's own machine"
            )
        self._server = TcpServer(listen, limit=MAX_REALIZED, idle_s=idle_s)
        self.port: int = self._server.port
        try:
            self._link = Link(
                url, request, timeout_s=timeout_s, reconnect_s=RECONNECT_S, closed=self._closed
            )
        except BaseException:
            self._server.close()
            raise
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (("rm-gta-capture", self._capture), ("rm-gta-serve", self._serve))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def counts(self) -> dict[str, int]:
        """What was captured, sent and shown so far."""
        counts = {name: self._counts[name] for name in ("captured", "sent", "overtaken")}
        return counts | {"shown": self._playout.shown, "left_out": self._playout.dropped}

    def run(self, seconds: float | None = None) -> None:
        """Display realized chunks until `close`, the capture's end, or `seconds` have passed.

        Raises what ended the capture, if that was an error.
        """
        until = None if seconds is None else time.monotonic() + seconds
        while not self._closed.is_set() and (until is None or time.monotonic() < until):
            following = self._playout.take(SLICE_S)
            if self._display is None:
                continue
            if following is None:
                self._display.idle()
                continue
            picture, duration_s = following
            began = time.monotonic()
            self._display.show(picture)
            self._closed.wait(max(0.0, duration_s - (time.monotonic() - began)))
        if self._ended is not None and not isinstance(self._ended, CaptureEnded):
            raise self._ended

    def close(self) -> None:
        """End the threads, hang up on both sides; may be called twice."""
        self._closed.set()
        self._playout.wake()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(self._timeout_s + 1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except BaseException as error:
            self._ended = self._ended or error
            self._closed.set()

    def _capture(self) -> None:
        """Keep the newest frame ready for the client."""
        try:
            while not self._closed.is_set():
                frame = self._link.receive(SLICE_S)
                if frame is not None:
                    self._offer(frame, time.monotonic())
        finally:
            self._link.close()

    def _offer(self, frame: GameFrame, captured_at: float) -> None:
        size = self._requested
        if not is_filled(frame):
            return
        self._counts["captured"] += 1
        if size is None:
            return
        stamp = Stamp(
            index=self._counts["captured"],
            time_s=captured_at,
            source_size=(frame.bgr.shape[1], frame.bgr.shape[0]),
            vfov_deg=self._vfov_deg,
            near_m=self._near_m,
            takes_realized=self._display is not None,
        )
        fields = stamp.beside(self._smaller_buffers(frame.fields, size))
        pair = _Pair(
            image=_body(shrunk(frame.bgr, size)),
            fields=msgspec.json.encode(fields),
        )
        with self._changed:
            if size != self._requested:  # meanwhile another client came, or this one left
                return
            self._counts["overtaken"] += self._newest is not None
            self._newest = pair
            self._changed.notify_all()

    def _smaller_buffers(self, fields: Mapping[str, Any], size: Size) -> Mapping[str, Any]:
        """Return the fields with depth and stencil at the size that is sent."""
        of = self._request.buffer_size or self._request.game_size
        buffers = {DEPTH: depth_ndc(fields, *of), STENCIL: stencil(fields, *of)}
        cv2 = require("cv2", extra="gta")
        return dict(fields) | {
            key: buffer_field(cv2.resize(values, size, interpolation=cv2.INTER_NEAREST_EXACT))
            for key, values in buffers.items()
            if values is not None
        }

    def _serve(self) -> None:
        """Send the newest frame whenever there is one, and read the client's messages."""
        clients = 0
        try:
            while not self._closed.is_set():
                if self._requested is not None:
                    self._send_newest()
                try:
                    bodies = self._server.receive(SLICE_S if self._requested is None else 0.0)
                except WireFormatError as error:
                    log.warning("hung up on a client: %s", error)
                    bodies = []
                if not self._server.connected or self._server.clients != clients:
                    clients = self._server.clients
                    self._request_size(None)
                for body in bodies:
                    self._receive(body)
                self._server.serving = self._requested is not None
        finally:
            self._server.close()

    def _send_newest(self) -> None:
        with self._changed:
            if self._newest is None:
                self._changed.wait(POLL_S)
            pair, self._newest = self._newest, None
        if pair is not None and self._server.send(pair.image, pair.fields):
            self._counts["sent"] += 1

    def _request_size(self, size: Size | None) -> None:
        """Capture frames of a size from now on, or none; the last one is forgotten."""
        with self._changed:
            self._requested, self._newest = size, None

    def _receive(self, body: bytes) -> None:
        """Take a realized chunk, or act on a message and pass it on."""
        try:
            if is_realized(body):
                realized = decode_realized(body)
                if self._display is not None:
                    self._playout.put(*_paced(realized))
                return
            if len(body) > MAX_MESSAGE:
                raise WireFormatError(
                    f"expected a message of at most {MAX_MESSAGE} bytes, which is the game's "
                    f"buffer, got {len(body)}: ask for less at once"
                )
            message = decode_message(body)
        except WireFormatError as error:
            log.warning("left out what a client sent: %s", error)
            return
        if isinstance(message, Start):
            self._request_size(message.dataset.picture_size() or self._own_size)
        elif isinstance(message, Stop):
            self._request_size(None)
        else:
            self._pass_on(message)

    def _pass_on(self, message: Message) -> None:
        if is_capture(self._url):
            log.warning("left out %s: a window takes no messages", type(message).__name__)
            return
        if isinstance(message, Config):  # what the game sends is the relay's own business
            message = Config(scenario=message.scenario, dataset=DatasetOptions())
        try:
            self._link.send(message)
        # the capture thread connects again; a text may be too long for the game's buffer
        except (ConnectError, WireFormatError) as error:
            log.warning("left out %s: %s", type(message).__name__, error)


def _paced(realized: Realized) -> tuple[NDArray[np.uint8], float]:
    """Return a chunk's pictures and how long each is to stay, seconds."""
    steps = np.diff(realized.timestamps)
    return realized.frames, float(np.median(steps)) if len(steps) else 0.0


def _body(bgr: NDArray[np.uint8]) -> Buffer:
    """Return a picture's message of (H, W, 3) uint8 pixels in the game's order."""
    height, width, _ = bgr.shape
    if stride_of(width) == 3 * width:
        return np.ascontiguousarray(bgr).reshape(-1).data
    rows = np.zeros((height, stride_of(width)), np.uint8)
    rows[:, : 3 * width] = bgr.reshape(height, 3 * width)
    return rows.reshape(-1).data
