"""One camera's realized pictures as a webcam of this machine: v4l2loopback, or OBS's on Windows."""

from __future__ import annotations

import time
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.optional import require
from realmaster_live.sinks.playout import LONGEST_S
from realmaster_live.sinks.urls import SinkUrl

pyvirtualcam = require("pyvirtualcam", extra="camera")


def from_url(url: SinkUrl) -> VirtualCamera:
    """Return the sink of `camera:` or `camera:DEVICE`."""
    return VirtualCamera(url.rest or None)


class VirtualCamera:
    """A sink that shows the camera whose chunk arrives first, picture by picture, at even pace.

    Args:
        device: such as /dev/video2; any that is free by default.
        backend: of pyvirtualcam; the first that works by default.
    """

    def __init__(self, device: str | None = None, *, backend: str | None = None) -> None:
        self.device = device
        self._backend = backend
        self._camera: str | None = None
        self._output: Any = None
        self._fps = 20.0
        self._last_write: float | None = None

    def begin(self, run: RunInfo) -> None:
        """Take the device.

        Raises:
            ConfigError: there is none.
        """
        self._fps = run.spec.fps
        first = next(iter(run.source_info.cameras.values()), run.spec)
        self._open(first.width, first.height)

    def write(self, chunk: Chunk) -> None:
        """Show one chunk's pictures over the time since the chunk before."""
        self._camera = self._camera or chunk.camera
        if chunk.camera != self._camera:
            return
        height, width = chunk.frames.shape[1:3]
        self._open(width, height)
        now = time.monotonic()
        since, self._last_write = now - (self._last_write or now), now
        pace_s = min(LONGEST_S, since / len(chunk))
        for row, picture in enumerate(chunk.frames):
            time.sleep(max(0.0, now + row * pace_s - time.monotonic()))
            self._output.send(picture)

    def close(self) -> None:
        """Release the device."""
        if self._output is not None:
            self._output.close()
            self._output = None

    def _open(self, width: int, height: int) -> None:
        if self._output is not None:
            return
        try:
            self._output = pyvirtualcam.Camera(
                width, height, self._fps, device=self.device, backend=self._backend
            )
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"expected a virtual camera device, got {reason}: load v4l2loopback (modprobe "
                "v4l2loopback), or on Windows install OBS"
            ) from error
        self.device = self._output.device
