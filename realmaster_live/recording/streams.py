"""One video file of a recording, written so that a killed process leaves it playable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import RecordingError
from realmaster_live.optional import require
from realmaster_live.recording.packing import PACKINGS

av = require("av", extra="live")

FRAGMENT_FRAMES = 10  # a killed process loses at most this many pictures, plus the encoder's own
CONTAINERS: Mapping[str, Mapping[str, str]] = {
    ".mp4": {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"},
    ".mkv": {"cluster_time_limit": "500", "flush_packets": "1"},
}
Preset = Literal["ultrafast", "superfast", "veryfast", "medium"]


class PictureWriter:
    """An H.264 file of sRGB pictures, (H, W, 3) uint8, with even sides.

    Args:
        path: the .mp4 to write.
        fps: pictures a second of the file's clock.
        preset: x264's; the faster, the larger the file.
        crf: x264's constant quality; 18 is hard to tell from the original.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], fps: float, *, preset: Preset, crf: int
    ) -> None:
        width, height = size
        if width % 2 or height % 2:
            raise RecordingError(
                f"expected pictures with even sides for H.264, got {width}x{height}: choose a size "
                "such as 512x288"
            )
        options = {"preset": preset, "crf": str(crf), "tune": "zerolatency"}
        self._file = _Encoder(path, "libx264", "yuv420p", size, fps, options)
        context = self._file.context
        context.colorspace, context.color_primaries, context.color_trc = 1, 1, 13  # BT.709, sRGB
        context.color_range = 1

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Append one picture."""
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        self._file.write(
            frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        )

    def close(self) -> None:
        """Finish the file; may be called twice."""
        self._file.close()


class LabelWriter:
    """A lossless FFV1 file of one label."""

    def __init__(self, path: Path, label: str, size: tuple[int, int], fps: float) -> None:
        self._packing = PACKINGS[label]
        options = {"level": "3", "g": "1", "slices": "4", "coder": "range_tab"}
        width, height = size
        self._file = _Encoder(
            path,
            "ffv1",
            self._packing.pixel_format,
            (width, height * self._packing.rows),
            fps,
            options,
        )

    def write(self, label: NDArray[Any]) -> None:
        """Append the label of one frame."""
        picture = np.ascontiguousarray(self._packing.pack(label))
        self._file.write(av.VideoFrame.from_ndarray(picture, format=self._packing.pixel_format))

    def close(self) -> None:
        """Finish the file; may be called twice."""
        self._file.close()


class _Encoder:
    """One codec in one container; every failure of the disk is a RecordingError."""

    def __init__(
        self,
        path: Path,
        codec: str,
        pixel_format: str,
        size: tuple[int, int],
        fps: float,
        options: Mapping[str, str],
    ) -> None:
        self._path = path
        self._written = 0
        self._closed = False
        try:
            self._container = av.open(path, "w", options=dict(CONTAINERS[path.suffix]))
        except (av.FFmpegError, OSError) as error:
            raise _unwritable(path, error) from error
        rate = Fraction(fps).limit_denominator(1001)
        self._stream = self._container.add_stream(codec, rate=rate, options=dict(options))
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = pixel_format
        self._stream.time_base = 1 / rate
        self.context = self._stream.codec_context
        self.context.time_base = 1 / rate
        self.context.thread_count = 1
        self.context.gop_size = FRAGMENT_FRAMES

    def write(self, frame: Any) -> None:
        frame.pts = self._written
        frame.time_base = self.context.time_base
        self._written += 1
        self._mux(frame)

    def _mux(self, frame: Any | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (av.FFmpegError, OSError) as error:
            raise _unwritable(self._path, error) from error

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if self._written:
                self._mux(None)
        finally:
            try:
                self._container.close()
            except (av.FFmpegError, OSError) as error:
                raise _unwritable(self._path, error) from error


def _unwritable(path: Path, error: Exception) -> RecordingError:
    return RecordingError(
        f"expected to write {path}, got {error}: free some disk space or record elsewhere"
    )


def read_pictures(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the (H, W, 3) uint8 sRGB pictures of a file that PictureWriter wrote."""
    for frame in _decoded(path):
        yield frame.reformat(
            format="rgb24", src_colorspace="ITU709", src_color_range="MPEG"
        ).to_ndarray()


def read_label(path: Path, label: str) -> Iterator[NDArray[Any]]:
    """Yield the labels of a file that LabelWriter wrote."""
    packing = PACKINGS[label]
    for frame in _decoded(path):
        yield packing.unpack(frame.to_ndarray())


def _decoded(path: Path) -> Iterator[Any]:
    try:
        with av.open(path) as container:
            yield from container.decode(container.streams.video[0])
    except (av.FFmpegError, OSError, IndexError) as error:
        raise RecordingError(
            f"expected a playable video in {path}, got {error}: restore the file from a copy or "
            "record again"
        ) from error
