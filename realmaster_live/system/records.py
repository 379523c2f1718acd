"""Dataclasses in JSON files: checked field by field as they are read, by msgspec."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, TypeVar, cast

from realmaster_live.optional import require

msgspec = require("msgspec", extra="live")

T = TypeVar("T")


def encode(value: Any) -> bytes:
    """Return a dataclass, or anything that JSON holds, as JSON; paths become text."""
    return cast(bytes, msgspec.json.encode(value, enc_hook=str))


def decode(content: bytes | str, kind: type[T]) -> T:
    """Return the value of JSON text; unknown keys are ignored.

    Raises:
        ValueError: it is no JSON, or not of this type; the message names the place.
    """
    try:
        return cast(T, msgspec.json.decode(content, type=kind, dec_hook=_path))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error


def read_record(path: Path, kind: type[T]) -> T:
    """Return the value in a JSON file.

    Raises:
        OSError: it cannot be read, or is no regular file. ValueError: it holds something else.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("no regular file")
    return decode(path.read_bytes(), kind)


def _path(kind: type[Any], value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError
