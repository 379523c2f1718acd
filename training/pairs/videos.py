"""Video files of pairs: photoreal clips in H.264, and grey maps without loss.

Colour is sRGB uint8 in arrays and BT.709 in files.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.optional import require
from realmaster_live.recording.h264 import H264File, PixelFormat
from realmaster_live.replay.video_files import decode, pictures

av = require("av", extra="live")

# About 45 dB from the original. Without cpu-independent x264's vector code reads memory that it
# never wrote, and the same pictures become other bytes from one call to the next.
H264 = {"crf": "10", "preset": "fast", "x264-params": "cpu-independent=1"}
FFV1 = {"level": "3", "g": "1", "slicecrc": "1"}
KEY_EVERY = 250  # pictures, x264's default


def write_video(
    path: Path,
    frames: NDArray[np.uint8],  # (T, H, W, 3) RGB
    fps: float,
    *,
    pixel_format: PixelFormat = "yuv444p",
) -> None:
    """Write pictures as H.264 with full colour resolution; RecordingError where the disk is full.

    Every browser plays "yuv420p", at half the colour resolution.
    """
    size = frames.shape[2], frames.shape[1]
    with H264File(
        path, size, fps, key_every=KEY_EVERY, x264=H264, container={}, pixel_format=pixel_format
    ) as file:
        for frame in frames:
            file.write(frame)


def read_video(path: Path) -> NDArray[np.uint8]:
    """Return all pictures of a video, (T, H, W, 3) RGB."""
    return np.stack(list(pictures(path)))


def write_gray(
    path: Path,
    maps: NDArray[np.uint8],  # (T, H, W)
    fps: float,
) -> None:
    """Write grey maps as FFV1: they come back as they were. OSError where the disk is full."""
    with av.open(path.absolute(), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream("ffv1", rate=rate, options=FFV1)
        stream.pix_fmt = "gray"
        stream.height, stream.width = maps.shape[1:]
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        for number, each in enumerate(maps):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(each), format="gray")
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def read_gray(path: Path) -> NDArray[np.uint8]:
    """Return the maps that `write_gray` wrote, (T, H, W)."""
    return np.stack([frame.to_ndarray() for frame in decode(path)])
