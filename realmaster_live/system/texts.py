"""Text files from anywhere: JSON and TOML with a byte order mark, nested deep, or of other bytes.

Editors write UTF-8 and UTF-16 with a byte order mark, other programs without.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from realmaster_live.errors import RealMasterError
from realmaster_live.system.contents import EMPTY, OTHER, classify_content, classify_file
from realmaster_live.system.inside import open_regular

MAX_BYTES = 64 << 20


def decode_text(content: bytes) -> str:
    """Return text in UTF-8, UTF-16 or UTF-32, with a byte order mark or, begun in ASCII, without.

    Raises:
        ValueError: it is other bytes.
    """
    return content.decode(json.detect_encoding(content)).removeprefix("\ufeff")


def parse_json(content: bytes) -> Any:
    """Return the value of JSON text; ValueError where it is none, or nested too deeply."""
    return _parsed(json.loads, content)


def parse_toml(content: bytes) -> dict[str, Any]:
    """Return the tables of TOML text; ValueError where it is none, or nested too deeply."""
    tables: dict[str, Any] = _parsed(lambda text: tomllib.loads(_unix(text)), content)
    return tables


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return the tables of a TOML file; OSError or ValueError where it is none."""
    with Path(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES >> 20} MiB")
    return parse_toml(content)


def _parsed(parse: Callable[[str], Any], content: bytes) -> Any:
    """Return what a parser makes of text; ValueError that names another file in its place."""
    try:
        return parse(decode_text(content))
    except RecursionError as error:
        raise ValueError("values that are nested too deeply") from error
    except ValueError as error:
        got, cure = classify_content(content)
        if got in (OTHER, EMPTY):
            raise
        raise ValueError(f"{got} ({cure})") from error


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")


def read_object(
    path: Path, *, what: str, remedy: str, error: type[RealMasterError]
) -> dict[str, Any]:
    """Return the object in a JSON file; `error` in one sentence where it is no such file.

    Args:
        path: of a regular file.
        what: is expected, such as "the facts about a film".
        remedy: what to do where it is something else.
        error: what is raised then.
    """
    if not os.path.lexists(path):
        raise error(f"expected {what} in {path}, got no such file: {remedy}")
    with open_regular(path, error=error) as file:
        try:
            content = file.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES >> 20} MiB")
            value = parse_json(content)
            if not isinstance(value, dict):
                raise ValueError(f"a {type(value).__name__} instead of an object")
        except (OSError, ValueError) as problem:
            got, cure = classify_content(content)
            cure = remedy if got in (EMPTY, OTHER) else cure
            got = str(problem) if got == OTHER else got
            raise error(f"expected {what} in {path}, got {got}: {cure}") from problem
    return value


def read_text(path: Path, *, what: str, remedy: str, error: type[RealMasterError]) -> str:
    """Return the text of a regular file; the arguments are those of `read_object`."""
    if not os.path.lexists(path):
        raise error(f"expected {what} in {path}, got no such file: {remedy}")
    with open_regular(path, error=error) as file:
        try:
            return decode_text(file.read(MAX_BYTES))
        except (OSError, ValueError) as problem:
            got, cure = classify_file(path, str(problem), remedy)
            raise error(f"expected {what} in {path}, got {got}: {cure}") from problem
