"""Reads the packets of a recorded H.264 video, one for each picture, without re-encoding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from realmaster_live.errors import RecordingError
from realmaster_live.optional import require
from realmaster_live.recording import Recording
from realmaster_live.recording.files import unplayable
from realmaster_live.recording.segment import SegmentInfo, is_finished
from realmaster_live.recording.tables import compute, read_table
from realmaster_live.system.contents import sha256_of
from realmaster_live.system.inside import check_regular

BROWSER_FORMATS = ("yuv420p", "yuvj420p")  # pixel formats that WebCodecs plays everywhere


def can_copy(path: Path) -> bool:
    """Return whether a video's packets can be copied: H.264 in 4:2:0 without B-frames.

    Foxglove requires that no packet depends on a later one.

    Raises:
        RecordingError: the file cannot be read.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        if stream.codec_context.name != "h264" or stream.pix_fmt not in BROWSER_FORMATS:
            return False
        return all(packet.pts == packet.dts for packet in container.demux(stream) if packet.size)


def packets(path: Path) -> Iterator[bytes]:
    """Yield the pictures of an H.264 file in Annex B format, key frames with their parameter sets.

    Raises:
        RecordingError: the file cannot be read.
    """
    av: Any = require("av", extra="live")
    with _opened(path) as container:
        stream = container.streams.video[0]
        to_annex_b = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in container.demux(stream):
            for converted in to_annex_b.filter(packet if packet.size else None):
                yield bytes(converted)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    av: Any = require("av", extra="live")
    check_regular(path, error=RecordingError)
    try:
        with av.open(path.absolute()) as container:
            yield container
    except (av.FFmpegError, OSError, IndexError) as error:
        raise unplayable(path, error) from error


class PassThrough:
    """The packets of one camera's stream, looked up by rising frame numbers.

    Args:
        recording: the recording. camera: name of a camera. stream: "sim" or "real".
    """

    def __init__(self, recording: Recording, camera: str, stream: str) -> None:
        self._recording = recording
        self._camera = camera
        self._file = recording.meta.cameras[camera].streams[stream]
        self._packets = self._numbered()
        self._next: tuple[int, bytes] | None = None

    def possible(self) -> bool:
        """Return whether the packets of every readable segment can be copied."""
        for segment in self._recording.segment_folders():
            with suppress(RecordingError):
                if not can_copy(segment / self._camera / self._file):
                    return False
        return True

    def packet(self, frame_id: int) -> bytes | None:
        """Return the packet of a frame; frame numbers must rise from call to call.

        It is None if the frame's segment is damaged, which is then listed in `Recording.damaged`.
        """
        while self._next is None or self._next[0] < frame_id:
            self._next = next(self._packets, None)
            if self._next is None:
                return None
        return self._next[1] if self._next[0] == frame_id else None

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        for segment in self._recording.segment_folders():
            path = segment / self._camera / self._file
            try:
                _check(segment, f"{self._camera}/{self._file}")
                rows = read_table(segment, "frames")
                rows = rows.filter(compute.equal(rows["camera"], self._camera))
                yield from zip(rows["frame_id"].to_pylist(), packets(path), strict=False)
            except RecordingError as error:
                self._recording.damaged[segment.name] = str(error)


def _check(segment: Path, file: str) -> None:
    """Compare a file of a finished segment with its hash, since no decoder will find its damage."""
    if not is_finished(segment):
        return
    path, kept = segment / file, SegmentInfo.read(segment).files[file]
    if not path.exists() or sha256_of(path, error=RecordingError) != kept.sha256:
        raise RecordingError(
            f"expected {path} as it was recorded, got other bytes: restore the file from a copy "
            "or record again"
        )
