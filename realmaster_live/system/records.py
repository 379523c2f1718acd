"""Dataclasses in JSON: every field is checked as it is read, by msgspec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from realmaster_live.errors import RealMasterError
from realmaster_live.optional import require
from realmaster_live.system.contents import EMPTY, classify_file
from realmaster_live.system.inside import open_regular
from realmaster_live.system.texts import decode_text

msgspec = require("msgspec", extra="live")

T = TypeVar("T")


def encode(value: Any) -> bytes:
    """Return a dataclass, or anything that JSON holds, as JSON; paths become text."""
    content: bytes = msgspec.json.encode(value, enc_hook=str)
    return content


def decode(content: bytes | str, kind: type[T]) -> T:
    """Return the value of JSON text; unknown keys are ignored.

    Raises:
        ValueError: it is no JSON, or not of this type; the message names the place.
    """
    try:
        text = decode_text(content) if isinstance(content, bytes) else content
        value: T = msgspec.json.decode(text, type=kind, dec_hook=_path)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("values that are nested too deeply") from error
    return value


def read_record(
    path: Path,
    kind: type[T],
    *,
    what: str,
    remedy: str,
    error: type[RealMasterError],
    renamed: Mapping[str, str] | None = None,
) -> T:
    """Return the value in a JSON file; `error` in one sentence where it is no such file.

    Args:
        path: of a regular file.
        kind: a dataclass, or any other type that msgspec knows.
        what: is expected, such as "the plan of a replay".
        remedy: what to do where it is something else.
        error: what is raised then.
        renamed: key in files of earlier versions -> its name now.
    """
    with open_regular(path, error=error) as file:
        try:
            content = file.read()
            for old, new in (renamed or {}).items():  # quotes inside of text are escaped
                content = content.replace(f'"{old}":'.encode(), f'"{new}":'.encode())
            return decode(content, kind)
        except (OSError, ValueError) as problem:
            got, cure = classify_file(path, str(problem), remedy)
            cure = remedy if got == EMPTY else cure
            raise error(f"expected {what} in {path}, got {got}: {cure}") from problem


def _path(kind: type[Any], value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError
