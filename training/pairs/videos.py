"""Video files of pairs: photoreal clips in H.264, and grey maps without loss.

Colour is sRGB uint8 in arrays and BT.709 in files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.optional import require
from realmaster_live.replay.video_files import decode, pictures

av = require("av", extra="live")

# About 45 dB from the original. Without cpu-independent x264's vector code reads memory that it
# never wrote, and the same pictures become other bytes from one call to the next.
H264 = {"crf": "10", "preset": "fast", "x264-params": "cpu-independent=1"}
FFV1 = {"level": "3", "g": "1", "slicecrc": "1"}


def write_video(
    path: Path,
    frames: NDArray[np.uint8],  # (T, H, W, 3) RGB
    fps: float,
    *,
    pixel_format: str = "yuv444p",
) -> None:
    """Write pictures as H.264 with full colour resolution; OSError where the disk is full.

    Every browser plays "yuv420p", at half the colour resolution.
    """
    coded = (
        av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(
            format=pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        for frame in frames
    )
    _write(path, coded, frames.shape[1:3], "libx264", pixel_format, fps, H264)


def read_video(path: Path) -> NDArray[np.uint8]:
    """Return all pictures of a video, (T, H, W, 3) RGB."""
    return np.stack(list(pictures(path)))


def write_gray(
    path: Path,
    maps: NDArray[np.uint8],  # (T, H, W)
    fps: float,
) -> None:
    """Write grey maps as FFV1: they come back as they were."""
    coded = (av.VideoFrame.from_ndarray(np.ascontiguousarray(x), format="gray") for x in maps)
    _write(
        path, coded, maps.shape[1:3], "ffv1", "gray", fps, {"level": "3", "g": "1", "slicecrc": "1"}
    )


def read_gray(path: Path) -> NDArray[np.uint8]:
    """Return the maps that `write_gray` wrote, (T, H, W)."""
    return np.stack([frame.to_ndarray() for frame in decode(path)])


def _write(
    path: Path,
    frames: Iterable[Any],
    size: tuple[int, ...],  # height, width
    codec: str,
    pixel_format: str,
    fps: float,
    options: Mapping[str, str],
) -> None:
    with av.open(path, "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream(codec, rate=rate, options=dict(options))
        stream.pix_fmt = pixel_format
        stream.height, stream.width = size
        context = stream.codec_context
        context.thread_count = 1  # the same bytes on every machine
        if pixel_format != "gray":
            context.colorspace, context.color_primaries, context.color_trc = 1, 1, 13
            context.color_range = 1
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
