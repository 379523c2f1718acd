"""The one place that sets up x264: pictures into an H.264 file or packets, through PyAV."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import RecordingError
from realmaster_live.optional import require
from realmaster_live.recording.files import unwritable

av = require("av", extra="live")

PixelFormat = Literal["yuv420p", "yuv444p", "rgb24"]
BT709, SRGB, STUDIO_RANGE = 1, 13, 1  # as H.264 numbers them
NEVER = 2**30  # pictures between key frames that are not asked for


class H264File:
    """A file of sRGB pictures, (H, W, 3) uint8; every failure of the disk is a RecordingError.

    The same pictures give the same bytes: x264 runs on one thread.

    Args:
        path: to write. size: (width, height), both even with yuv420p.
        fps: pictures a second of the file's clock. key_every: pictures between key frames.
        x264: options of the encoder. container: options of the file's format.
        pixel_format: yuv420p, or yuv444p for colour at full resolution, both in BT.709; or rgb24,
            which keeps every bit at a qp of 0.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        fps: float,
        *,
        key_every: int,
        x264: Mapping[str, str],
        container: Mapping[str, str],
        pixel_format: PixelFormat = "yuv420p",
    ) -> None:
        _check_size(size, pixel_format)
        self._path = path
        self._pictures = 0
        self._closed = False
        self._convert = _Converter(pixel_format)
        try:
            self._container = av.open(path.absolute(), "w", options=dict(container))
        except (av.FFmpegError, OSError) as error:
            raise unwritable(path, error) from error
        rate = Fraction(fps).limit_denominator(1001)
        codec = "libx264rgb" if pixel_format == "rgb24" else "libx264"
        self._stream = self._container.add_stream(codec, rate=rate, options=dict(x264))
        self._step = 1 / rate
        context = self._stream.codec_context
        context.time_base = self._stream.time_base = self._step
        _set_up(context, size, pixel_format, key_every=key_every)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, picture: NDArray[np.uint8]) -> bytes:
        """Append one picture; return what the encoder gave out, in Annex B.

        That is the picture's packet, key frames with their parameter sets, unless the encoder's
        options let it hold pictures back.
        """
        frame = self._convert(picture)
        frame.pts = self._pictures
        frame.time_base = self._step
        self._pictures += 1
        return self._mux(frame)

    def close(self) -> None:
        """Finish the file; may be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._pictures:
                self._mux(None)
        finally:
            try:
                self._container.close()
            except (av.FFmpegError, OSError) as error:
                raise unwritable(self._path, error) from error

    def _mux(self, frame: Any | None) -> bytes:
        given = []
        try:
            for packet in self._stream.encode(frame):
                if packet.is_keyframe:  # the container has them once, in its header
                    given.append(bytes(self._stream.codec_context.extradata or b""))
                given.append(bytes(packet))
                self._container.mux(packet)
        except (av.FFmpegError, OSError) as error:
            raise unwritable(self._path, error) from error
        return b"".join(given)


class H264Encoder:
    """Pictures of one size as H.264 packets in Annex B, one a picture, which need no later one.

    Args:
        size: (width, height), both even. fps: what the encoder plans its bits by.
        x264: options of the encoder.
    """

    def __init__(self, size: tuple[int, int], fps: float, *, x264: Mapping[str, str]) -> None:
        _check_size(size, "yuv420p")
        self._convert = _Converter("yuv420p")
        self._pictures = 0
        self._lock = threading.Lock()
        context = self._context = av.CodecContext.create("libx264", "w")
        context.options = {**x264, "tune": "zerolatency", "forced-idr": "1"}
        context.framerate = Fraction(fps).limit_denominator(1001)
        context.time_base = 1 / context.framerate
        _set_up(context, size, "yuv420p", key_every=NEVER)

    def encode(self, pictures: NDArray[np.uint8]) -> list[bytes]:
        """Return the packets of pictures, (T, H, W, 3) sRGB; the first is a key frame.

        Any thread may call it.
        """
        packets = []
        with self._lock:
            for row, picture in enumerate(pictures):
                frame = self._convert(picture)
                if row == 0:
                    frame.pict_type = av.video.frame.PictureType.I
                frame.pts = self._pictures
                frame.time_base = self._context.time_base
                self._pictures += 1
                packets.append(b"".join(map(bytes, self._context.encode(frame))))
        return packets


class _Converter:
    """Turns sRGB pictures into frames of the encoder's format."""

    def __init__(self, pixel_format: PixelFormat) -> None:
        self._format = pixel_format
        self._converter = av.video.reformatter.VideoReformatter()

    def __call__(self, picture: NDArray[np.uint8]) -> Any:
        pixels = np.ascontiguousarray(picture)
        if self._format == "rgb24":
            return av.VideoFrame.from_ndarray(pixels, format="rgb24")
        return self._converter.reformat(
            av.VideoFrame.from_numpy_buffer(pixels, format="rgb24"),  # no copy, as this makes one
            format=self._format,
            dst_colorspace="ITU709",
            dst_color_range="MPEG",
            threads=1,
        )


def _check_size(size: tuple[int, int], pixel_format: PixelFormat) -> None:
    width, height = size
    if pixel_format == "yuv420p" and (width % 2 or height % 2):
        raise RecordingError(
            f"expected pictures with even sides for H.264, got {width}x{height}: choose a size "
            "such as 512x288, or record without loss"
        )


def _set_up(
    context: Any, size: tuple[int, int], pixel_format: PixelFormat, *, key_every: int
) -> None:
    context.width, context.height = size
    context.pix_fmt = pixel_format
    context.thread_count = 1
    context.gop_size = key_every
    if pixel_format != "rgb24":
        context.colorspace = context.color_primaries = BT709
        context.color_trc, context.color_range = SRGB, STUDIO_RANGE
