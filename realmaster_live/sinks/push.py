"""One camera's realized pictures as H.264 to a server: RTSP, SRT or RTMP.

The server is somebody else's: mediamtx, OBS, a recorder, a receiver in listening mode. A picture's
time in the stream is when its frame was captured, so the stream runs at the pace of the drive.
"""

from __future__ import annotations

import io
import logging
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from realmaster_live.errors import ConfigError, reason
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.optional import require
from realmaster_live.recording.h264 import H264Encoder
from realmaster_live.sinks.encoding import X264, Encodings
from realmaster_live.sinks.relay import Relay
from realmaster_live.sinks.urls import SinkUrl

av = require("av", extra="live")
log = logging.getLogger(__name__)

ANSWER_S = 4.0  # how long a server may take to accept, and to take a picture
START_S = 30.0  # how long the relay may take to start, on a busy machine
AGAIN_S = 2.0  # how long a lost server is left alone
GREY_PICTURES = 12  # that ffmpeg looks at before it connects
CLOCK = Fraction(1, 90_000)  # of the stream, seconds
LEAST = 90  # units of CLOCK from picture to picture: a millisecond, the finest that FLV knows


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How FFmpeg writes to a kind of server.

    Attributes:
        form: of the stream. options: of the form and of the connection.
        grey: pictures that go ahead of the first real one, so that the relay connects.
        has_program: whether the ffmpeg program sends it on, as PyAV's wheels cannot.
    """

    form: str
    options: Mapping[str, str] = field(default_factory=dict)
    grey: int = 1
    has_program: bool = False

    def command(self, url: str) -> Sequence[str]:
        """Return the command of the relay to a server; ConfigError where there is no ffmpeg."""
        if not self.has_program:
            options = [f"{name}={value}" for name, value in self.options.items()]
            remux = (sys.executable, "-m", "realmaster_live.sinks.remux")
            return (*remux, url, self.form, f"{ANSWER_S:g}", *options)
        program = shutil.which("ffmpeg")
        if program is None:
            raise ConfigError(
                f"expected the program ffmpeg for {url.partition(':')[0]}, which PyAV's wheels are "
                "built without, got none: install ffmpeg"
            )
        options = [part for name, value in self.options.items() for part in (f"-{name}", value)]
        return (program, *FFMPEG, "-f", self.form, *options, url)


FFMPEG = (
    *("-hide_banner", "-nostats", "-probesize", "32", "-analyzeduration", "0"),
    *("-fflags", "nobuffer", "-f", "nut", "-i", "pipe:0", "-c", "copy", "-flush_packets", "1"),
)
PROTOCOLS: Mapping[str, Protocol] = {
    "rtsp": Protocol(form="rtsp", options={"rtsp_transport": "tcp"}),
    "srt": Protocol(
        form="mpegts",
        options={"rw_timeout": str(round(1e6 * ANSWER_S))},
        grey=GREY_PICTURES,
        has_program=True,
    ),
    "rtmp": Protocol(form="flv", options={"flvflags": "no_duration_filesize"}),
}


def from_url(url: SinkUrl) -> StreamPush:
    """Return the sink of `rtsp://…`, `srt://…` or `rtmp://…`; `#NAME` chooses a camera."""
    address, _, camera = url.text.partition("#")
    if not url.rest.startswith("//") or not address.partition("://")[2]:
        raise url.wrong("no server")
    return StreamPush(address, camera=camera or None)


class StreamPush:
    """A sink that sends one camera's realized pictures to a server.

    A server that refuses at the beginning is an error; one that is lost later is tried again with
    every chunk, at most every AGAIN_S.

    Args:
        url: of the server, with a scheme of PROTOCOLS.
        camera: its name; by default that whose chunk arrives first.
    """

    def __init__(self, url: str, *, camera: str | None = None) -> None:
        self.url = url
        self.name = SinkUrl.parse(url).name  # without what is secret
        self.camera = camera
        self._protocol = PROTOCOLS[url.partition(":")[0]]
        self._encodings = Encodings()
        self._container: Any = None
        self._stream: Any = None
        self._relay: Relay | None = None
        self._begun_at: float | None = None  # host monotonic clock, seconds
        self._last = -LEAST  # time of the last packet, in units of CLOCK
        self._failed_at = -AGAIN_S

    def begin(self, run: RunInfo) -> None:
        """Connect.

        Raises:
            ConfigError: the server refuses, or is not there.
        """
        self._encodings = Encodings.of(run)
        cameras = run.source_info.cameras
        if self.camera is not None and cameras and self.camera not in cameras:
            raise ConfigError(
                f"expected a camera out of {', '.join(cameras)}, got {self.camera!r} for "
                f"{self.name}: correct it"
            )
        known = cameras.get(self.camera or next(iter(cameras), ""))
        size = (run.spec.width, run.spec.height) if known is None else (known.width, known.height)
        self._connect(size)

    def write(self, chunk: Chunk) -> None:
        """Send one chunk; raises ConfigError while the server is lost."""
        self.camera = self.camera or chunk.camera
        if chunk.camera != self.camera:
            return
        height, width = chunk.frames.shape[1:3]
        if self._container is None:
            wait_s = self._failed_at + AGAIN_S - time.monotonic()
            if wait_s > 0:
                raise ConfigError(f"expected {self.name} to answer, got none: tried again soon")
            self._connect((width, height))
        if self._begun_at is None:
            self._begun_at = float(chunk.captured_at[0] - (self._last + LEAST) * CLOCK)
        try:
            for row, data in enumerate(self._encodings.h264(chunk)):
                since_s = float(chunk.captured_at[row]) - self._begun_at
                self._send(data, since_s, is_key=row == 0)
        except (av.FFmpegError, OSError) as error:
            self._failed_at = time.monotonic()
            self._disconnect()
            raise self._refused(error) from error

    def close(self) -> None:
        """Say goodbye to the server."""
        self._disconnect()

    def _connect(self, size: tuple[int, int]) -> None:
        """Open the connection, with the parameters that the encoder's pictures will have."""
        width, height = size
        fps = self._encodings.fps
        grey = np.full((self._protocol.grey, height, width, 3), 128, np.uint8)
        head = H264Encoder(size, fps, x264=X264).encode(grey)
        self._begun_at, self._last = None, -LEAST
        try:
            self._relay = Relay(self._protocol.command(self.url))
            with av.open(io.BytesIO(head[0]), format="h264") as example:
                self._container = av.open(
                    self._relay, "w", format="nut", options={"flush_packets": "1"}
                )
                self._stream = self._container.add_stream_from_template(example.streams.video[0])
                self._stream.time_base = CLOCK
                self._container.start_encoding()
            for row, data in enumerate(head):
                self._send(data, row / fps, is_key=row == 0)
            self._relay.wait_until_connected(START_S + ANSWER_S)
        except (av.FFmpegError, OSError) as error:
            self._failed_at = time.monotonic()
            self._disconnect()
            raise self._refused(error) from error

    def _send(self, data: bytes, since_s: float = 0.0, *, is_key: bool) -> None:
        packet = av.Packet(data)
        self._last = packet.pts = packet.dts = max(self._last + LEAST, round(since_s / CLOCK))
        packet.time_base, packet.stream, packet.is_keyframe = CLOCK, self._stream, is_key
        self._container.mux(packet)

    def _disconnect(self) -> None:
        container, self._container = self._container, None
        relay, self._relay = self._relay, None
        try:
            if container is not None:
                container.close()
        except (av.FFmpegError, OSError) as error:
            log.debug("%s: %s", self.name, error)  # it is lost, as the log says already
        finally:
            if relay is not None:
                relay.close()

    def _refused(self, error: Exception) -> ConfigError:
        return ConfigError(
            f"expected a server that takes a stream at {self.name}, got "
            f"{reason(error).replace(self.url, self.name)}: start it, or correct the address"
        )
