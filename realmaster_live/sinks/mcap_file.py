"""An MCAP file that grows while the drive lasts; its topics are those of foxglove_topics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realmaster_live.errors import RecordingError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.optional import require
from realmaster_live.sinks.encoding import Encodings
from realmaster_live.sinks.foxglove_topics import FoxgloveTopics
from realmaster_live.sinks.urls import SinkUrl

foxglove = require("foxglove", extra="foxglove")
foxglove_mcap = require("foxglove.mcap", extra="foxglove")


def from_url(url: SinkUrl) -> McapFile:
    """Return the sink of `mcap:FILE`."""
    return McapFile(url.path)


class McapFile:
    """A sink that writes an MCAP file with Foxglove's schemas, chunk by chunk.

    A killed process leaves a file without an index that `mcap recover` completes.

    Args:
        path: a new file; its folder is made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._topics = FoxgloveTopics()
        self._encodings = Encodings()
        self._writer: Any = None
        self._closed = False

    def __enter__(self) -> McapFile:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not closed yet."""
        return self._writer is not None and not self._closed

    def open(self) -> None:
        """Make the file.

        Raises:
            RecordingError: it exists, or cannot be made.
        """
        if self._writer is not None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = foxglove.open_mcap(
                self.path,
                context=self._topics.log.context,
                writer_options=foxglove_mcap.MCAPWriteOptions(compression_threads=0),
            )
        except (OSError, RuntimeError) as error:
            raise RecordingError(
                f"expected to make the new file {self.path}, got {error}: choose another name"
            ) from error

    def begin(self, run: RunInfo) -> None:
        """Make the file, and note what the run is."""
        self.open()
        self._encodings = Encodings.of(run)
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
        """Append one chunk; what it holds is in the file when this returns."""
        self.open()
        self._topics.write(chunk, self._encodings)
        self._writer.flush()

    def close(self) -> None:
        """Finish the file; may be called twice."""
        if self.is_open:
            self._closed = True
            self._writer.close()
