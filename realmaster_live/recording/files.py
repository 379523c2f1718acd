"""Files of a recording: atomic writes and safe reads."""

from __future__ import annotations

import errno
import json
import mmap
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from realmaster_live.errors import RecordingError, reason
from realmaster_live.optional import require
from realmaster_live.system.contents import classify_file
from realmaster_live.system.inside import SafeFolder, open_regular
from realmaster_live.system.texts import read_object

msgspec = require("msgspec", extra="live")

NO_ROOM = 2**16  # bytes; a disk with less is full
PART = ".part"  # suffix of an unfinished file; a later write replaces it
T = TypeVar("T")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file in one step.

    Raises:
        RecordingError: it cannot be written.
    """
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextmanager
def replacing(path: Path, *errors: type[Exception]) -> Iterator[Path]:
    """Yield the path at which a file is written; at the end it takes its place in one step.

    Raises:
        RecordingError: it cannot be written, or one of `errors` occurred.
    """
    part = part_of(path)
    failures: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield part
        part.replace(path)
    except failures as error:
        raise unwritable(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """Return the path at which a file is written before it is moved to its place.

    Raises:
        RecordingError: a link or something else that is no file lies at one of the two.
    """
    folder = SafeFolder(path.parent, error=RecordingError)
    folder.target(path.name)
    return folder.target(path.name + PART)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        RecordingError: it cannot be read, or holds something else.
    """
    SafeFolder(path.parent, error=RecordingError).file(path.name)  # no link out of the folder
    remedy = "restore the file from a copy or record again"
    return read_object(path, what="a JSON object", remedy=remedy, error=RecordingError)


def as_described(content: Mapping[str, Any], kind: type[T]) -> T:
    """Return what was read from JSON as a dataclass, every value of the type that it declares.

    Raises:
        ValueError: a value is missing or of another type; the message names its key.
    """
    try:
        converted: T = msgspec.convert(content, kind)
        return converted
    except RecursionError as error:
        raise ValueError("values nested too deep") from error
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def mapped(path: Path) -> mmap.mmap | bytes:
    """Return the bytes of a regular file without reading them yet.

    Raises:
        RecordingError: it cannot be read.
    """
    try:
        with open_regular(path, error=RecordingError) as file:
            if os.fstat(file.fileno()).st_size == 0:
                return b""
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise RecordingError(
            f"expected to read {path}, got {reason(error)}: check the disk, or restore the file "
            "from a copy"
        ) from error


def in_one_line(problem: object) -> str:
    """Return what a library says of a problem, without the lines of its own trace."""
    return " ".join(str(problem).split()).rstrip(".")


def unwritable(path: Path, error: Exception) -> RecordingError:
    """Return the error of a file that cannot be written; not every library says of a full disk."""
    is_denied = isinstance(error, PermissionError)
    remedy = "change its permissions" if is_denied else "free some disk space"
    is_silent = not isinstance(error, OSError) and shutil.disk_usage(path.parent).free < NO_ROOM
    got = os.strerror(errno.ENOSPC) if is_silent else reason(error)
    return RecordingError(f"expected to write {path}, got {got}: {remedy} or record elsewhere")


def unplayable(path: Path, error: Exception) -> RecordingError:
    """Return the error of a video that cannot be played."""
    got, remedy = classify_file(path, str(error), "restore the file from a copy or record again")
    return RecordingError(f"expected a playable video in {path}, got {got}: {remedy}")
