"""The packets of a recorded H.264 video as they are, for players that take them one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from realmaster_live.errors import RecordingError
from realmaster_live.optional import require
from realmaster_live.recording import Recording
from realmaster_live.recording.segment import segment_folders
from realmaster_live.recording.tables import compute, read_table

BROWSER_FORMATS = ("yuv420p", "yuvj420p")  # what WebCodecs plays everywhere


def can_pass(path: Path) -> bool:
    """Whether a video's packets may be handed on: H.264 in 4:2:0, every picture in its own order.

    Foxglove demands that no packet needs a later one (no B frames).
    """
    av: Any = require("av", extra="live")
    with av.open(path) as container:
        stream = container.streams.video[0]
        if stream.codec_context.name != "h264" or stream.pix_fmt not in BROWSER_FORMATS:
            return False
        return all(packet.pts == packet.dts for packet in container.demux(stream) if packet.size)


def packets(path: Path) -> Iterator[bytes]:
    """Yield the pictures of an H.264 file in Annex B, key frames with their parameter sets.

    Raises:
        RecordingError: the file cannot be read.
    """
    av: Any = require("av", extra="live")
    try:
        with av.open(path) as container:
            stream = container.streams.video[0]
            to_annex_b = av.BitStreamFilterContext("h264_mp4toannexb", stream)
            for packet in container.demux(stream):
                for whole in to_annex_b.filter(packet if packet.size else None):
                    yield bytes(whole)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise RecordingError(
            f"expected a playable video in {path}, got {error}: restore the file from a copy or "
            "record again"
        ) from error


class Passed:
    """The packets of one camera's stream, found by frame number, in order.

    Args:
        recording: what was recorded. camera: of it. stream: "sim" or "real".
    """

    def __init__(self, recording: Recording, camera: str, stream: str) -> None:
        self._camera = camera
        self._file = recording.meta.cameras[camera].streams[stream]
        self._segments = segment_folders(recording.folder)
        self._packets = self._numbered()

    def possible(self) -> bool:
        """Whether the packets of every segment may be handed on."""
        paths = [segment / self._camera / self._file for segment in self._segments]
        return all(can_pass(path) for path in paths if path.exists())

    def of(self, frame_id: int) -> bytes:
        """Return the packet of a frame; frame numbers must rise from call to call.

        Raises:
            RecordingError: there is none.
        """
        for number, packet in self._packets:
            if number == frame_id:
                return packet
        raise RecordingError(
            f"expected frame {frame_id} of {self._camera} in {self._file}, got its end: run "
            "realmaster dataset verify on the recording"
        )

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        for segment in self._segments:
            try:
                rows = read_table(segment, "frames")
                rows = rows.filter(compute.equal(rows["camera"], self._camera))
                yield from zip(
                    rows["frame_id"].to_pylist(),
                    packets(segment / self._camera / self._file),
                    strict=False,
                )
            except RecordingError:
                continue  # its frames are not asked for: reading the rows has named it damaged
