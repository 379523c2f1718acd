"""Frames over ZeroMQ, to any number of subscribers on this or another machine.

Every frame is one message of three parts on a PUB socket: the camera's name, which is what a
subscriber's filter matches, the facts as JSON, and the realized picture as a JPEG file.
docs/ways-out.md has the keys and a reader.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.optional import require
from realmaster_live.sinks.encoding import Encodings
from realmaster_live.sinks.urls import SinkUrl

zmq = require("zmq", extra="zmq")
log = logging.getLogger(__name__)

VERSION = 1
LAST_PORT = 65535  # ZeroMQ itself takes larger ones, modulo 65536
WAITING_FRAMES = 16  # for each subscriber; further ones are dropped by ZeroMQ
ENDPOINT = re.compile(r"ipc://.+|tcp://(?:.+):(\d{1,5}|\*)")


def from_url(url: SinkUrl) -> ZeroMqPublisher:
    """Return the sink of `zmq://HOST:PORT` or `zmq:tcp://HOST:PORT`."""
    endpoint = f"tcp:{url.rest}" if url.rest.startswith("//") else url.rest
    found = ENDPOINT.fullmatch(endpoint)
    if found is None or ((found[1] or "*") != "*" and int(found[1]) > LAST_PORT):
        raise url.wrong(f"{url.rest!r}")
    return ZeroMqPublisher(endpoint)


class ZeroMqPublisher:
    """A sink that publishes realized frames; it never waits for a subscriber.

    Args:
        endpoint: to bind, such as tcp://127.0.0.1:5555, or tcp://*:5555 for all addresses.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._socket: Any = None
        self._encodings = Encodings()

    def open(self) -> None:
        """Bind the socket.

        Raises:
            ConfigError: the address cannot be taken.
        """
        socket = zmq.Context.instance().socket(zmq.PUB)
        socket.sndhwm, socket.linger = WAITING_FRAMES, 0
        try:
            socket.bind(self.endpoint)
        except zmq.ZMQError as error:
            socket.close()
            raise ConfigError(
                f"expected a free port of this machine for ZeroMQ, got {error.strerror} at "
                f"{self.endpoint}: choose another port or address"
            ) from error
        self._socket = socket
        if self.endpoint.endswith((":*", ":0")):
            log.warning("ZeroMQ: connect to %s", socket.last_endpoint.decode())

    def begin(self, run: RunInfo) -> None:
        """Share the run's JPEG files."""
        self._encodings = Encodings.of(run)

    def write(self, chunk: Chunk) -> None:
        """Publish every frame of a chunk."""
        height, width = chunk.frames.shape[1:3]
        for row, picture in enumerate(self._encodings.jpeg(chunk)):
            frame = chunk.frame(row)
            facts = {
                "version": VERSION,
                "camera": frame.camera,
                "frame_id": frame.frame_id,
                "timestamp": frame.timestamp,
                "width": width,
                "height": height,
                "encoding": "jpeg",
                "K": frame.intrinsics.tolist(),
                "cam_to_world": frame.cam_to_world.tolist(),
                "dropped_before": frame.dropped_before,
            }
            parts = [frame.camera.encode(), json.dumps(facts).encode(), picture]
            self._socket.send_multipart(parts, copy=False)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
