"""Writes the pictures of an episode as an MP4 that allows fast random access."""

from __future__ import annotations

from pathlib import Path

from realmaster_live.recording.files import unwritable
from realmaster_live.recording.h264 import H264File

GROUP = 4  # pictures between key frames: training reads single frames at random
CRF = 20


class EpisodeVideo(H264File):
    """An H.264 file in 4:2:0 whose picture number n is shown at n / fps seconds.

    Args:
        path: the .mp4 file to write. size: (width, height) in pixels, even. fps: frames a second.
    """

    codec, pixel_format = "h264", "yuv420p"

    def __init__(self, path: Path, size: tuple[int, int], fps: int) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path.parent, error) from error
        super().__init__(
            path,
            size,
            fps,
            key_every=GROUP,
            x264={"crf": str(CRF), "preset": "veryfast", "bf": "0"},
            container={"movflags": "+faststart"},
        )
