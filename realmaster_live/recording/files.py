"""Files that are there whole or not at all, and their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realmaster_live.errors import RecordingError

PART = ".part"  # what an unfinished file's name ends in: it may be deleted


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file in one step.

    Raises:
        RecordingError: it cannot be written.
    """
    part = path.with_name(path.name + PART)
    try:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        RecordingError: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _no_object(path, error) from error
    if not isinstance(content, dict):
        raise _no_object(path, type(content).__name__)
    return content


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unwritable(path: Path, error: Exception) -> RecordingError:
    """Return the error of a file that cannot be written."""
    return RecordingError(
        f"expected to write {path}, got {error}: free some disk space or record elsewhere"
    )


def _no_object(path: Path, got: object) -> RecordingError:
    return RecordingError(
        f"expected a JSON object in {path}, got {got}: restore the file from a copy or record again"
    )
