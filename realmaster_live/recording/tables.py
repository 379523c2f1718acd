"""The tables beside the videos: written row by row, safe against a killed process.

While a segment is open each table is an Arrow stream (`frames.arrows`) that is flushed after every
chunk. Closing turns it into Parquet; a stream that is still there is read as far as it goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from realmaster_live.errors import RecordingError
from realmaster_live.optional import require
from realmaster_live.recording.batches import BatchFile
from realmaster_live.recording.ego_schemas import EGO_SCHEMAS
from realmaster_live.recording.files import in_one_line, mapped, replacing
from realmaster_live.system.arrow_memory import in_arrow_memory
from realmaster_live.system.contents import classify_file
from realmaster_live.system.inside import SafeFolder

pa = require("pyarrow", extra="live")
compute = require("pyarrow.compute", extra="live")
ipc = require("pyarrow.ipc", extra="live")
parquet = require("pyarrow.parquet", extra="live")

DAMAGED = (pa.ArrowException, OSError, ValueError, KeyError, MemoryError)
Tolerated = Literal["nothing", "cut", "damage"]
_POSE = pa.list_(pa.float64(), 16)  # (4, 4) row by row, metres
_VECTOR = pa.list_(pa.float64(), 3)
_BOX = pa.list_(pa.float64(), 4)  # left, top, right, bottom in pixels; right, bottom outside
_KEY = [
    ("camera", pa.string()),
    ("frame_id", pa.int64()),  # the simulator's frame number
]
SCHEMAS: Mapping[str, Any] = {
    # one row a camera and frame
    "frames": pa.schema(
        [
            *_KEY,
            ("picture", pa.int32()),  # its place in this segment's videos of this camera
            ("timestamp", pa.float64()),  # simulation clock, seconds
            ("captured_at", pa.float64()),  # host monotonic clock, seconds
            ("age_s", pa.float64()),  # how old it was when it was written
            ("chunk_index", pa.int64()),
            ("dropped_before", pa.int32()),  # frames missing before this one
            ("cam_to_world", _POSE),
            ("ego_to_world", _POSE),  # none where no vehicle carries the camera
            ("intrinsics", pa.list_(pa.float64(), 9)),  # (3, 3) row by row, pixels
            ("distortion", pa.list_(pa.float64(), 5)),  # OpenCV's k1, k2, p1, p2, k3
            ("seed", pa.int64()),  # of the chunk's noise
            ("prompt", pa.string()),  # none where the engine has no prompts
            ("prompt_weight", pa.float64()),  # less than 1 while it is faded to
            ("engine", pa.string()),
            ("engine_sha256", pa.string()),
            ("licence", pa.string()),
            ("policy", pa.string()),
            ("town", pa.string()),  # where the frame was taken; none before version 3
            ("weather", pa.string()),  # in words
        ]
    ),
    # one row a camera, frame and thing in view
    "objects": pa.schema(
        [
            *_KEY,
            ("object_id", pa.int64()),  # none, like all of the world, for a mask without a thing
            ("class_id", pa.int32()),
            ("class", pa.string()),
            ("type_id", pa.string()),
            ("size", _VECTOR),  # full length, width, height, metres
            ("object_to_world", _POSE),
            ("object_to_camera", _POSE),
            ("velocity", _VECTOR),  # m/s, in the world
            ("speed", pa.float64()),  # m/s
            ("light", pa.string()),
            ("fixed", pa.bool_()),
            ("mask_id", pa.int32()),  # low 16 bits of the instance label; 0 without a pixel
            ("amodal", _BOX),  # of the whole thing, not cut at the picture's edge
            ("visible", _BOX),  # of its mask; none without a pixel
            ("pixels", pa.int32()),
            ("occlusion", pa.float64()),
            ("truncation", pa.float64()),
            ("distance_m", pa.float64()),
        ]
    ),
    # one row a camera and frame (mask_id none), and one more for each thing that was judged
    "trust": pa.schema(
        [
            *_KEY,
            ("mask_id", pa.int32()),
            ("pixels", pa.int32()),
            ("edges", pa.float64()),
            ("depth_order", pa.float64()),
            ("semantics", pa.float64()),
            ("boxes", pa.float64()),
            ("lights", pa.float64()),
            ("score", pa.float64()),
            ("verdict", pa.string()),
            ("attempts", pa.int32()),
        ]
    ),
}


# columns that no row may lack
NEEDED: Mapping[str, tuple[str, ...]] = {
    "frames": (
        *(name for name, _ in _KEY),
        "picture",
        "timestamp",
        "captured_at",
        "chunk_index",
        "dropped_before",
        "cam_to_world",
        "intrinsics",
        "distortion",
    ),
    "objects": (*(name for name, _ in _KEY), "class_id", "mask_id", "pixels"),
    "trust": tuple(name for name, _ in _KEY),
    "ego": ("frame_id", "timestamp"),
    "events": ("frame_id", "kind"),
}
ALL_SCHEMAS: Mapping[str, Any] = {**SCHEMAS, **EGO_SCHEMAS}
ADDED = ("town", "weather")  # columns that version 2 of the format had not


def open_journal(folder: Path, name: str) -> BatchFile:
    """Begin one table of an open segment: `folder` is the segment's, `name` one of ALL_SCHEMAS."""
    return BatchFile(_journal(folder, name), lambda file: ipc.new_stream(file, ALL_SCHEMAS[name]))


def keep_table(folder: Path, name: str, table: Any | None = None) -> Path:
    """Turn a closed journal, or a table given, into Parquet; return its path.

    Killed at any moment, either the journal or the whole Parquet file is there.
    """
    path, journal = folder / f"{name}.parquet", _journal(folder, name)
    rows = read_journal(journal) if table is None else table
    with replacing(path) as part, part.open("wb") as file:  # Arrow takes only UTF-8 paths
        parquet.write_table(rows, file, compression="zstd")
    journal.unlink(missing_ok=True)
    return path


def read_table(folder: Path, name: str) -> Any:
    """Return the pyarrow Table of a segment, finished or not.

    Raises:
        RecordingError: there is no table, or it is damaged.
    """
    files = SafeFolder(folder, error=RecordingError)
    path, journal = f"{name}.parquet", f"{name}.arrows"
    if not files.exists(path) and files.exists(journal):
        return checked_rows(
            read_journal(folder / journal, tolerate="damage"), name, folder / journal
        )
    try:
        with files.open(path) as file:
            table = parquet.read_table(in_arrow_memory(file), partitioning=None)
            table = _completed(table, ALL_SCHEMAS[name])
            table.validate(full=True)
            return checked_rows(table, name, folder / path)
    except DAMAGED as error:
        raise unusable(folder / path, error) from error


def has_table(folder: Path, name: str) -> bool:
    """Return whether a table of a segment was begun, whatever is in it."""
    files = SafeFolder(folder, error=RecordingError)
    return files.exists(f"{name}.parquet") or files.exists(f"{name}.arrows")


def checked_rows(table: Any, name: str, path: Path) -> Any:
    """Return a table in which every value that must be there is, and numbers are in range.

    Raises:
        RecordingError: one is missing; the message names its column.
    """
    for column in NEEDED[name]:
        if table[column].null_count:
            raise unusable(path, f"rows without {column}")
    if name == "frames":
        for column in ("timestamp", "captured_at"):
            if not compute.all(compute.is_finite(table[column]), min_count=0).as_py():
                raise unusable(path, f"a {column} that is no finite number")
    return table


def unusable(path: Path, got: object) -> RecordingError:
    """Return the error of a table that is damaged."""
    remedy = "restore the file from a copy or record again"
    found, remedy = classify_file(path, in_one_line(got), remedy)
    return RecordingError(f"expected the rows of a recording in {path}, got {found}: {remedy}")


def read_journal(path: Path, *, tolerate: Tolerated = "nothing") -> Any:
    """Return every whole batch of a journal as one table.

    Args:
        path: the journal.
        tolerate: "cut" takes a journal whose last batch a killed process left unfinished, "damage"
            any that begins well; what comes before is returned.

    Raises:
        RecordingError: it is no regular file, or it is damaged in another way.
    """
    batches, schema = [], ALL_SCHEMAS[path.stem]
    content = mapped(path)  # of a file, Arrow would take memory for as much as a header claims
    if not content:  # nothing had reached the disk
        return schema.empty_table()
    file = pa.BufferReader(pa.py_buffer(content))
    try:
        for batch in ipc.open_stream(file):
            batch.validate(full=True)
            batches.append(_completed(batch, schema))
    except DAMAGED as error:
        is_cut = file.tell() == len(content)
        if tolerate == "nothing" or (tolerate == "cut" and not is_cut):
            raise unusable(path, error) from error
    return pa.Table.from_batches(batches, schema)


def _completed(rows: Any, schema: Any) -> Any:
    """Return a table or batch with the columns of `schema`; older releases lack some."""
    for field in schema:
        if field.name in ADDED and field.name not in rows.schema.names:
            rows = rows.append_column(field, pa.nulls(len(rows), field.type))
    return rows.cast(schema)


def _journal(folder: Path, name: str) -> Path:
    return folder / f"{name}.arrows"
