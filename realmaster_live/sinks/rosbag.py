"""A ROS 2 bag of the realized pictures, written without a ROS installation.

The topics are those of the ROS 2 sink, with JPEG pictures (`image/compressed`); the storage is MCAP
(`ros2 bag play` takes it), the time of every message the simulation's clock.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realmaster_live.errors import RecordingError
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.messages import ros2 as messages
from realmaster_live.optional import require
from realmaster_live.recording.files import unwritable
from realmaster_live.sinks.encoding import Encodings
from realmaster_live.sinks.urls import SinkUrl

rosbag2 = require("rosbags.rosbag2", extra="ros2")
FORMAT_VERSION = 9


def from_url(url: SinkUrl) -> RosBag:
    """Return the sink of `rosbag:DIR`."""
    return RosBag(url.path)


class RosBag:
    """A sink that writes a bag.

    A killed process leaves the messages up to the last chunk, without the bag's metadata.yaml;
    `ros2 bag reindex` makes it anew.

    Args:
        folder: a new folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._names = messages.Names.of(SourceInfo())
        self._encodings = Encodings()
        self._writer: Any = None
        self._connections: dict[str, Any] = {}
        self._failure: RecordingError | None = None
        self._clock = ""  # the camera whose frames move /clock on: the first

    def open(self) -> None:
        """Make the folder.

        Raises:
            RecordingError: it exists, or cannot be made.
        """
        try:
            writer = rosbag2.Writer(
                self.folder,
                version=FORMAT_VERSION,
                storage_plugin=rosbag2.StoragePlugin.MCAP,
            )
            writer.open()
        except (OSError, rosbag2.WriterError) as error:
            raise RecordingError(
                f"expected to make the new folder {self.folder}, got {str(error).rstrip('.')}: "
                "choose another name"
            ) from error
        self._writer = writer
        messages.prepare()

    def begin(self, run: RunInfo) -> None:
        """Take the vehicle's role from the source."""
        self._encodings = Encodings.of(run)
        self._names = messages.Names.of(run.source_info)

    def write(self, chunk: Chunk) -> None:
        """Append every frame of a chunk; they are in the file when this returns.

        Raises:
            RecordingError: the disk is full; and again for every further chunk.
        """
        if self._failure is not None:
            raise self._failure
        self._clock = self._clock or chunk.camera
        for row, jpeg in enumerate(self._encodings.jpeg(chunk)):
            frame = chunk.frame(row)
            for topic, kind, message in messages.facts(
                frame, self._names, with_clock=chunk.camera == self._clock
            ):
                self._append(topic, kind, message, frame)
            topic = self._names.topic(frame.camera, "image/compressed")
            picture = messages.compressed_image(frame, self._names, jpeg)
            self._append(topic, messages.COMPRESSED, picture, frame)
        storage = self._writer.storage  # which else waits for a mebibyte
        try:
            storage.close_chunk()
            storage.bio.flush()
        except OSError as error:
            self._failure = unwritable(storage.path, error)
            raise self._failure from error

    def close(self) -> None:
        """Finish the bag."""
        self._writer.close()

    def _append(self, topic: str, kind: str, message: Any, frame: Frame) -> None:
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=messages.typestore()
            )
        time_ns = round(frame.timestamp * messages.NANOSECONDS)
        self._writer.write(self._connections[topic], time_ns, messages.to_cdr(message))
