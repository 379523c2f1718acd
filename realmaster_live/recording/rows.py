"""The table beside the videos: one row a frame, safe against a killed process.

While recording, rows go to an Arrow stream that is flushed after every chunk. Closing turns it into
frames.parquet; a stream that is still there is read as far as it goes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.chunk import Chunk
from realmaster_live.errors import RecordingError
from realmaster_live.optional import require
from realmaster_live.recording.about import About

pa = require("pyarrow", extra="live")
ipc = require("pyarrow.ipc", extra="live")
parquet = require("pyarrow.parquet", extra="live")

TABLE = "frames.parquet"
JOURNAL = "frames.arrows"
SCHEMA = pa.schema(
    [
        ("frame_id", pa.int64()),  # the simulator's frame number
        ("timestamp", pa.float64()),  # simulation clock, seconds
        ("captured_at", pa.float64()),  # host monotonic clock, seconds
        ("chunk_index", pa.int64()),
        ("dropped_before", pa.int32()),  # frames missing before this one
        ("cam_to_world", pa.list_(pa.float64(), 16)),  # (4, 4) row by row, metres
        ("intrinsics", pa.list_(pa.float64(), 9)),  # (3, 3) row by row, pixels
        ("engine", pa.string()),
        ("engine_sha256", pa.string()),
        ("policy", pa.string()),
        ("seed", pa.int64()),
        ("prompt", pa.string()),  # none where the engine has no prompts
        ("prompt_weight", pa.float64()),  # less than 1 while it is faded to
    ]
)
LATER = ("prompt", "prompt_weight")  # older recordings have no such columns


class RowWriter:
    """Appends the rows of one chunk after another."""

    def __init__(self, folder: Path, about: About) -> None:
        self._folder = folder
        self._about = about
        self._closed = False
        try:
            self._file = (folder / JOURNAL).open("wb")
        except OSError as error:
            raise _unwritable(folder / JOURNAL, error) from error
        self._stream = ipc.new_stream(self._file, SCHEMA)

    def write(self, chunk: Chunk) -> None:
        """Append one row a frame and hand them to the operating system."""
        count, about = len(chunk), self._about
        dropped = np.zeros(count, np.int32)
        dropped[0] = chunk.dropped_before
        poses = pa.FixedSizeListArray.from_arrays(pa.array(chunk.cam_to_world.ravel()), 16)
        optics = np.tile(chunk.intrinsics.ravel(), count)
        columns = [
            pa.array(chunk.frame_ids),
            pa.array(chunk.timestamps),
            pa.array(chunk.captured_at),
            pa.array(np.full(count, chunk.index)),
            pa.array(dropped),
            poses,
            pa.FixedSizeListArray.from_arrays(pa.array(optics), 9),
            pa.array([about.engine] * count),
            pa.array([about.engine_sha256] * count),
            pa.array([about.policy] * count),
            pa.array([about.seed] * count, pa.int64()),
            pa.array([chunk.prompt] * count, pa.string()),
            pa.array([chunk.prompt_weight] * count),
        ]
        try:
            self._stream.write_batch(pa.record_batch(columns, schema=SCHEMA))
            self._file.flush()
        except OSError as error:
            raise _unwritable(self._folder / JOURNAL, error) from error

    def close(self) -> None:
        """Turn the stream into the table; may be called twice."""
        if self._closed:
            return
        self._closed = True
        journal, table = self._folder / JOURNAL, self._folder / TABLE
        part = table.with_suffix(".part")
        try:
            try:
                self._stream.close()
            finally:
                self._file.close()
            parquet.write_table(_read_journal(journal), part)
            part.replace(table)
            journal.unlink()
        except OSError as error:
            part.unlink(missing_ok=True)
            raise _unwritable(table, error) from error


def read_rows(folder: Path) -> Any:
    """Return the pyarrow Table of a recording, finished or not.

    Raises:
        RecordingError: there is no table, or it is damaged.
    """
    table, journal = folder / TABLE, folder / JOURNAL
    if not table.exists() and not journal.exists():
        raise RecordingError(
            f"expected {table}, got no such file: restore it from a copy or record again"
        )
    path = table if table.exists() else journal
    try:
        rows = parquet.read_table(table) if table.exists() else _read_journal(journal)
        for name in LATER:
            if name not in rows.column_names:
                rows = rows.append_column(name, pa.nulls(len(rows), SCHEMA.field(name).type))
        return rows.cast(SCHEMA)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RecordingError(
            f"expected the rows of a recording in {path}, got {error}: restore the file from a "
            "copy or record again"
        ) from error


def _read_journal(path: Path) -> Any:
    """Read every whole batch; a killed process may have left half of one at the end."""
    batches = []
    with path.open("rb") as file:
        stream = ipc.open_stream(file)
        try:
            for batch in stream:
                batches.append(batch)
        except (pa.ArrowInvalid, OSError):
            if not batches:
                raise
    return pa.Table.from_batches(batches, stream.schema)


def _unwritable(path: Path, error: Exception) -> RecordingError:
    return RecordingError(
        f"expected to write {path}, got {error}: free some disk space or record elsewhere"
    )
