"""The small process beside the game: captures, makes smaller, stamps, serves; shows what returns.

    game or window -> [capture thread] -> newest frame -> [serve thread] <-> one client over TCP
                                         run(): shows <- realized chunks <-+

A client speaks DeepGTAV's protocol to it as to the game; what the client says to the game is passed
on. The newest frame wins everywhere: a slow client gets fewer frames, never old ones.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.camera import VFOV_DEG
from realmaster_live.bridges.gtav.link import (
    Ask,
    close_link,
    is_capture,
    is_filled,
    open_again,
    open_link,
    shrunk,
)
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
    Config,
    DatasetOptions,
    Message,
    Start,
    Stop,
)
from realmaster_live.bridges.gtav.protocol.server import TcpServer
from realmaster_live.bridges.gtav.protocol.stamp import (
    MAX_REALIZED,
    Realized,
    Stamp,
    decode_realized,
    is_realized,
)
from realmaster_live.bridges.gtav.relay.display import Show
from realmaster_live.bridges.window_capture import CaptureEnded
from realmaster_live.errors import (
    BridgeError,
    ConfigError,
    ConnectError,
    FrameTimeout,
    WireFormatError,
)
from realmaster_live.optional import require

log = logging.getLogger(__name__)

SLICE_S = 0.1  # how often a thread looks whether it is to end
HEAR_S = 0.005  # how often a client is heard while no frame comes: a chunk takes a few turns
SEEK_S = 3600.0  # how long a game that has gone is waited for
HURRY = 0.8  # how much shorter a picture stays while a chunk waits behind it
WAITING_CHUNKS = 2  # realized ones, before the oldest go

Size = tuple[int, int]  # width, height


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """A frame that is ready to be sent."""

    image: Buffer
    fields: bytes


class Relay:
    """Serves what a game or a window shows to one client at a time; connects when made.

    Args:
        url: the game or the window, as for `GtavBridge`. listen: a `deepgtav+tcp` address.
        ask: what the game is asked for. size: width and height to send where a client names none.
        show: where realized chunks are shown; without it none is asked for.
        near_m: what clients are told of the near clip. vfov_deg: vertical field of view.
        timeout_s: longest wait for the game to connect.

    `counts` says how many frames were captured, sent, and overtaken before a client took them, and
    how many realized pictures were shown and left out.
    """

    def __init__(
        self,
        url: str,
        listen: Address,
        *,
        ask: Ask,
        size: Size = (512, 288),
        show: Show | None = None,
        near_m: float | None = None,
        vfov_deg: float = VFOV_DEG,
        timeout_s: float = 10.0,
    ) -> None:
        self._url, self._ask, self._timeout_s = url, ask, timeout_s
        self._own_size, self._show = size, show
        self._near_m, self._vfov_deg = near_m, vfov_deg
        self._counts: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._newest: _Pair | None = None
        self._wanted: Size | None = None  # None: no client wants frames
        self._pictures: deque[tuple[NDArray[np.uint8], float]] = deque()  # and how long each stays
        self._room = 0
        self._closed = threading.Event()
        self._ended: BaseException | None = None
        if listen.scheme != "deepgtav+tcp":
            raise ConfigError(
                f"expected to listen at deepgtav+tcp://host:port, got {listen}: ZeroMQ's pair is "
                "for the game's own machine"
            )
        self._server = TcpServer(listen, limit=MAX_REALIZED)
        self.port: int = self._server.port
        try:
            self._stream = open_link(url, ask, timeout_s=timeout_s)
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
        names = ("captured", "sent", "overtaken", "shown", "left_out")
        return {name: self._counts[name] for name in names}

    def run(self, seconds: float | None = None) -> None:
        """Show what comes back until `close`, the capture's end, or so many seconds have passed.

        Raises what ended the capture, if that was an error.
        """
        until = None if seconds is None else time.monotonic() + seconds
        while not self._closed.is_set() and (until is None or time.monotonic() < until):
            with self._changed:
                if not self._pictures:
                    self._changed.wait(SLICE_S)
                following = self._pictures.popleft() if self._pictures else None
                late = len(self._pictures) >= self._room
            if self._show is None:
                continue
            if following is None:
                self._show.idle()
                continue
            picture, stay_s = following
            began = time.monotonic()
            self._show.show(picture)
            self._counts["shown"] += 1
            stay_s *= HURRY if late else 1.0
            self._closed.wait(max(0.0, stay_s - (time.monotonic() - began)))
        if self._ended is not None and not isinstance(self._ended, CaptureEnded):
            raise self._ended

    def close(self) -> None:
        """End the threads, hang up on both sides; may be called twice."""
        self._closed.set()
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
                try:
                    frame = self._stream.receive(SLICE_S)
                except FrameTimeout:
                    continue
                except (ConnectError, WireFormatError) as error:
                    if not self._counts["captured"]:
                        raise
                    self._reconnect(error)
                else:
                    self._keep(frame, time.monotonic())
        finally:
            close_link(self._url, self._stream)

    def _keep(self, frame: GameFrame, captured_at: float) -> None:
        size = self._wanted
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
            takes_realized=self._show is not None,
        )
        fields = stamp.beside(self._smaller_buffers(frame.fields, size))
        pair = _Pair(
            image=_body(shrunk(frame.bgr, size)),
            fields=json.dumps(fields, separators=(",", ":")).encode(),
        )
        with self._changed:
            self._counts["overtaken"] += self._newest is not None
            self._newest = pair
            self._changed.notify_all()

    def _smaller_buffers(self, fields: Mapping[str, Any], size: Size) -> Mapping[str, Any]:
        """Return the fields with depth and stencil at the size that is sent."""
        of = self._ask.buffer_size or self._ask.game_size
        buffers = {DEPTH: depth_ndc(fields, *of), STENCIL: stencil(fields, *of)}
        cv2 = require("cv2", extra="gta")
        return dict(fields) | {
            key: buffer_field(cv2.resize(values, size, interpolation=cv2.INTER_NEAREST_EXACT))
            for key, values in buffers.items()
            if values is not None
        }

    def _reconnect(self, error: BridgeError) -> None:
        log.warning("%s: the connection was lost (%s), connecting again", self._url, error)
        self._stream.close()
        found = open_again(
            self._url, self._ask, timeout_s=self._timeout_s, seek_s=SEEK_S, closed=self._closed
        )
        if found is not None:
            self._stream = found
            log.warning("%s: connected again", self._url)

    def _serve(self) -> None:
        """Send the newest frame whenever there is one, and hear the client."""
        clients = 0
        try:
            while not self._closed.is_set():
                if self._wanted is not None:
                    self._send_newest()
                try:
                    bodies = self._server.receive(SLICE_S if self._wanted is None else 0.0)
                except WireFormatError as error:
                    log.warning("hung up on a client: %s", error)
                    bodies = []
                if not self._server.connected or self._server.clients != clients:
                    clients, self._wanted = self._server.clients, None
                for body in bodies:
                    self._hear(body)
        finally:
            self._server.close()

    def _send_newest(self) -> None:
        with self._changed:
            if self._newest is None:
                self._changed.wait(HEAR_S)
            pair, self._newest = self._newest, None
        if pair is not None and self._server.send(pair.image, pair.fields):
            self._counts["sent"] += 1

    def _hear(self, body: bytes) -> None:
        """Take a realized chunk, or do and pass on what the client says."""
        try:
            if is_realized(body):
                self._enqueue(decode_realized(body))
                return
            message = decode_message(body)
        except WireFormatError as error:
            log.warning("left out what a client sent: %s", error)
            return
        if isinstance(message, Start):
            with self._changed:
                self._wanted, self._newest = message.dataset.picture_size() or self._own_size, None
        elif isinstance(message, Stop):
            self._wanted = None
        else:
            self._pass_on(message)

    def _pass_on(self, message: Message) -> None:
        if is_capture(self._url):
            log.warning("left out %s: a window takes none", type(message).__name__)
            return
        if isinstance(message, Config):  # what the game sends is the relay's own business
            message = Config(scenario=message.scenario, dataset=DatasetOptions())
        try:
            self._stream.send(message)
        except ConnectError as error:  # the capture thread connects again
            log.warning("left out %s: %s", type(message).__name__, error)

    def _enqueue(self, realized: Realized) -> None:
        count = len(realized.frames)
        steps = np.diff(realized.timestamps)
        stay_s = float(np.clip(np.median(steps), 0.0, 1.0)) if count > 1 else 0.0
        with self._changed:
            self._pictures.extend((picture, stay_s) for picture in realized.frames)
            self._room = count
            while len(self._pictures) > WAITING_CHUNKS * count:
                self._pictures.popleft()
                self._counts["left_out"] += 1
            self._changed.notify_all()


def _body(bgr: NDArray[np.uint8]) -> Buffer:
    """Return a picture's message of (H, W, 3) uint8 pixels in the game's order."""
    height, width, _ = bgr.shape
    if stride_of(width) == 3 * width:
        return np.ascontiguousarray(bgr).reshape(-1).data
    rows = np.zeros((height, stride_of(width)), np.uint8)
    rows[:, : 3 * width] = bgr.reshape(height, 3 * width)
    return rows.reshape(-1).data
