"""Text files from anywhere: JSON and TOML with a byte order mark, nested deep, or of other bytes.

Windows editors and PowerShell write UTF-8 and UTF-16 with a byte order mark.
"""

from __future__ import annotations

import codecs
import json
import os
import tomllib
from pathlib import Path
from typing import Any

from realmaster_live.errors import RealMasterError
from realmaster_live.system.contents import OTHER, classify_content
from realmaster_live.system.inside import open_regular

MAX_BYTES = 64 << 20
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decode_text(content: bytes) -> str:
    """Return UTF-8, or UTF-16 where a byte order mark says so; ValueError for other bytes."""
    if content.startswith(UTF16):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def parse_json(content: bytes) -> Any:
    """Return the value of JSON text; ValueError where it is none, or nested too deeply."""
    try:
        return json.loads(decode_text(content))
    except RecursionError as error:
        raise ValueError("values that are nested too deeply") from error


def parse_toml(content: bytes) -> dict[str, Any]:
    """Return the tables of TOML text; ValueError where it is none, or nested too deeply."""
    try:
        return tomllib.loads(decode_text(content).replace("\r\n", "\n"))
    except RecursionError as error:
        raise ValueError("values that are nested too deeply") from error


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
            got, cure = (str(problem), remedy) if got == OTHER else (got, cure)
            raise error(f"expected {what} in {path}, got {got}: {cure}") from problem
    return value


def read_text(path: Path, *, what: str, remedy: str, error: type[RealMasterError]) -> str:
    """Return the text of a regular file; the arguments are those of `read_object`."""
    with open_regular(path, error=error) as file:
        try:
            return decode_text(file.read(MAX_BYTES))
        except (OSError, ValueError) as problem:
            raise error(f"expected {what} in {path}, got {problem}: {remedy}") from problem
