"""The pictures of an episode as an MP4 that can be opened anywhere in it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import RecordingError
from realmaster_live.optional import require

GROUP = 4  # pictures between key frames: training asks for single ones, anywhere
CRF = 20


class EpisodeVideo:
    """An H.264 file, 4:2:0, whose picture number n is shown at n / fps seconds.

    Args:
        path: the .mp4 to write. size: (width, height), even. fps: pictures a second.
    """

    codec, pixel_format = "h264", "yuv420p"

    def __init__(self, path: Path, size: tuple[int, int], fps: int) -> None:
        av: Any = require("av", extra="live")
        self._failures = (av.FFmpegError, OSError)
        self._path = path
        self._pictures = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(path), "w", options={"movflags": "+faststart"})
        except self._failures as error:
            raise self._unwritable(error) from error
        options = {"crf": str(CRF), "preset": "veryfast", "bf": "0"}
        self._stream = self._container.add_stream("libx264", rate=fps, options=options)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = self.pixel_format
        context = self._stream.codec_context
        context.time_base = self._stream.time_base = self._step = Fraction(1, fps)
        context.gop_size = GROUP
        context.thread_count = 1  # so that the same pictures give the same bytes
        context.colorspace, context.color_primaries, context.color_trc = 1, 1, 13  # BT.709, sRGB
        context.color_range = 1
        self._frame_of = av.VideoFrame.from_ndarray

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Append a picture (H, W, 3) uint8 sRGB."""
        frame = self._frame_of(picture, format="rgb24").reformat(
            format=self.pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        frame.pts = self._pictures
        frame.time_base = self._step
        self._pictures += 1
        self._mux(frame)

    def close(self) -> None:
        """Finish the file."""
        self._mux(None)
        try:
            self._container.close()
        except self._failures as error:
            raise self._unwritable(error) from error

    def _mux(self, frame: Any | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except self._failures as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> RecordingError:
        return RecordingError(
            f"expected to write {self._path}, got {error}: free some disk space or export elsewhere"
        )
