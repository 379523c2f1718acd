"""An MCAP file that grows while the drive lasts; its topics are those of foxglove_topics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realmaster_live.errors import RecordingError, reason
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.optional import require
from realmaster_live.recording.files import unwritable
from realmaster_live.sinks.encoding import FilmOrOwn
from realmaster_live.sinks.foxglove_topics import FoxgloveTopics
from realmaster_live.sinks.urls import SinkUrl

foxglove = require("foxglove", extra="foxglove")
foxglove_mcap = require("foxglove.mcap", extra="foxglove")


def from_url(url: SinkUrl) -> McapFile:
    """Return the sink of `mcap:FILE`."""
    return McapFile(url.path)


class McapFile:
    """A sink that writes an MCAP file with Foxglove's schemas, chunk by chunk.

    Its video is that of the run's recording, if a Recorder stands before it in the run's list.
    A killed process leaves a file without an index that `mcap recover` completes.

    Args:
        path: a new file; its folder is made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._topics = FoxgloveTopics()
        self._video = FilmOrOwn()
        self._writer: Any = None
        self._failure: RecordingError | None = None

    def open(self) -> None:
        """Make the file.

        Raises:
            RecordingError: it exists, or cannot be made.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = foxglove.open_mcap(
                self.path,
                context=self._topics.log.context,
                writer_options=foxglove_mcap.MCAPWriteOptions(compression_threads=0),
            )
        except (OSError, RuntimeError) as error:
            raise RecordingError(
                f"expected to make the new file {self.path}, got {reason(error)}: choose another "
                "name"
            ) from error

    def begin(self, run: RunInfo) -> None:
        """Note what the run is."""
        self._video = FilmOrOwn(run)
        source = run.source_info
        facts = {
            "town": source.town,
            "route": source.route,
            "weather": source.weather_words,
            "engine": run.engine.name,
            "licence": run.engine.licence,
            "clock": "simulated seconds",
        }
        self._writer.write_metadata("recording", facts)

    def write(self, chunk: Chunk) -> None:
        """Append one chunk; what it holds is in the file when this returns.

        Raises:
            RecordingError: the disk is full; and again for every further chunk.
        """
        if self._failure is not None:
            raise self._failure
        self._topics.write(chunk, self._video)
        try:
            self._writer.flush()
        except (OSError, RuntimeError) as error:
            self._failure = unwritable(self.path, error)
            raise self._failure from error

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
