"""A stand-in server for the game: for tests, for the demo, and for users without the game.

It waits for a Start, sends pairs at the requested rate and size, over ZeroMQ only stale ones until
StartRecording, and can misbehave in every way that the game or the network has.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from realmaster_live.bridges.gtav.protocol.framing import framed, image_body
from realmaster_live.bridges.gtav.protocol.message_codec import decode_message
from realmaster_live.bridges.gtav.protocol.messages import (
    Config,
    DatasetOptions,
    Start,
    StartRecording,
    Stop,
    StopRecording,
    changed,
)
from realmaster_live.bridges.gtav.protocol.server import TcpServer, ZmqServer
from realmaster_live.bridges.gtav.standin.behaviour import Behaviour
from realmaster_live.bridges.gtav.standin.stage import GameStage, empty_fields, game_fields
from realmaster_live.errors import WireFormatError

logger = logging.getLogger(__name__)

DEFAULTS = DatasetOptions(rate=10.0, frame=(320, 160))  # DeepGTAV's own
IDLE_S = 0.1
PAIRS_AT_ONCE, STALE_EVERY, PAIRS_BEFORE_DISCONNECT, PIECES = 3, 3, 5, 12


class StandinServer:
    """Serves one client after the other from a stage.

    `sent` is how many pairs went out so far, stale ones too.
    """

    def __init__(
        self, server: TcpServer | ZmqServer, stage: GameStage, behaviour: Behaviour | None = None
    ) -> None:
        self._server, self._stage, self._behaviour = server, stage, behaviour or Behaviour()
        self._tcp = server if isinstance(server, TcpServer) else None
        if self._tcp is not None:
            self._tcp.refuse_second = "refuse-second" in self._behaviour.quirks
        self._rng = np.random.default_rng(self._behaviour.seed)
        self.sent = 0
        self._index = 0
        self._forget_client()

    def serve(self, is_finished: Callable[[], bool] = lambda: False) -> None:
        """Serve until the stage ends, the pairs are sent, or `is_finished` returns true."""
        clients = 0
        while not is_finished() and self.sent != self._behaviour.pairs:
            is_ready = self._options is not None and self._server.has_room(IDLE_S)
            wait_s = min(IDLE_S, self._due - time.monotonic()) if is_ready else 0.5 * IDLE_S
            try:
                bodies = self._server.receive(max(0.0, wait_s))
            except WireFormatError as error:
                logger.warning("hung up on a client: %s", error)
                bodies = []
            if self._tcp is not None and clients != self._tcp.clients * self._tcp.connected:
                clients = self._tcp.clients * self._tcp.connected
                self._forget_client()
            for body in bodies:
                self._receive(body)
            if self._tcp is not None:
                self._tcp.serving = self._options is not None
            is_due = self._options is not None and time.monotonic() >= self._due
            if is_ready and is_due and not self._send_pair():
                return

    def _forget_client(self) -> None:
        """Begin anew, as for a client that has not sent anything yet."""
        self._options: DatasetOptions | None = None
        self._recording = self._tcp is not None  # the first DeepGTAV knows no such switch
        self._due = 0.0
        self._pairs_of_client = 0
        self._held = bytearray()
        self._last: tuple[bytes, bytes] | None = None

    def _receive(self, body: bytes) -> None:
        """Act on one message; only one that cannot be read is left out."""
        if "silent" in self._behaviour.quirks:
            return
        try:
            message = decode_message(body)
        except WireFormatError as error:
            logger.warning("left out what a client sent: %s", error)
            return
        match message:
            case Start(dataset=dataset):
                self._options = changed(DEFAULTS, dataset)
                self._due, self._index = time.monotonic(), dataset.start_index or self._index
            case Config(dataset=dataset) if self._options is not None:
                self._options = changed(self._options, dataset)
            case Stop():
                self._options = None
            case StartRecording():
                self._recording = True
            case StopRecording():
                self._recording = False
        self._stage.apply(message)

    def _send_pair(self) -> bool:
        """Send the pair that is due; returns False where the stage has ended."""
        options = self._options
        assert options is not None and options.rate is not None
        pair = self._next_pair(options)
        if pair is None:
            if self._tcp is not None:
                self._tcp.write(bytes(self._held))
            return False
        interval_s = 1.0 / (self._behaviour.rate or options.rate)
        if "jitter" in self._behaviour.quirks:
            interval_s *= float(self._rng.uniform(0.2, 1.8))
        self._due = max(self._due + interval_s, time.monotonic())
        if self._deliver(*pair):
            self.sent += 1
            self._pairs_of_client += 1
        return True

    def _next_pair(self, options: DatasetOptions) -> tuple[bytes, bytes] | None:
        """Return the bodies of the next pair, or None at the end of the stage."""
        quirks = self._behaviour.quirks
        repeats = "stale" in quirks and self._pairs_of_client % STALE_EVERY == STALE_EVERY - 1
        if repeats and self._last is not None:
            return self._last
        width, height = self._behaviour.frame or options.picture_size() or (320, 160)
        size = (width + ("other-size" in quirks), height)
        if not self._recording:
            stale = {"index": 0, "focalLen": 0.0} | empty_fields(options)
            return image_body(np.zeros((size[1], size[0], 3), np.uint8)), _text(stale)
        scene = self._stage.step(size, 1.0 / (self._behaviour.rate or options.rate or 10.0))
        if scene is None:
            return None
        fields = game_fields(scene, options, self._index)
        self._index += 1
        self._last = image_body(scene.image), _text(fields, twice="duplicate-keys" in quirks)
        return self._last

    def _deliver(self, image: bytes, fields: bytes) -> bool:
        quirks, is_last = self._behaviour.quirks, self._pairs_of_client == PAIRS_BEFORE_DISCONNECT
        if "disconnect" in quirks and is_last:
            return self._disconnect(image, fields)
        if self._tcp is None or {"split", "coalesced"}.isdisjoint(quirks):
            return self._server.send(image, fields)
        self._held += framed(image) + framed(fields)
        if "coalesced" in quirks and (self._pairs_of_client + 1) % PAIRS_AT_ONCE:
            return True
        data, self._held = bytes(self._held), bytearray()
        pieces = PIECES if "split" in quirks else 0
        cuts = np.sort(self._rng.integers(0, len(data), pieces)).tolist()
        ends = zip([0, *cuts], [*cuts, len(data)], strict=True)
        return all([self._tcp.write(data[start:end]) for start, end in ends])

    def _disconnect(self, image: bytes, fields: bytes) -> bool:
        """End in the middle of a picture; over ZeroMQ in the middle of its JSON."""
        if self._tcp is None:
            self._server.send(image, fields[: len(fields) // 2])
        else:
            self._tcp.write(framed(image)[: len(image) // 2])
            self._tcp.drop()
        self._pairs_of_client += 1
        return False


def _text(fields: dict[str, Any], *, twice: bool = False) -> bytes:
    """Return JSON; `twice` puts an empty annotation before each one, as the fork does."""
    text = json.dumps(fields)
    if twice:
        names = [key for key, value in fields.items() if isinstance(value, str | list)]
        text = "{" + "".join(f"{json.dumps(name)}: [], " for name in names) + text[1:]
    return text.encode()
