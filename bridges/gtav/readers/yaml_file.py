"""A small YAML file from elsewhere, read within limits on what a few bytes may expand to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realmaster_live.bridges.gtav.readers.files import damaged
from realmaster_live.optional import require
from realmaster_live.system.texts import decode_text

MAX_BYTES = 64 << 10  # a camera's file has about one
MAX_DEPTH = 8
MAX_ALIASES = 16  # each may multiply the size of the one before it


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a file's mapping; PairError where it is none, or over one of the limits."""
    yaml = require("yaml", extra="gta")
    try:
        if not path.is_file():
            raise ValueError("no regular file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        text = decode_text(data)
        depth = aliases = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > MAX_DEPTH or aliases > MAX_ALIASES:
                raise ValueError(f"more than {MAX_DEPTH} levels or {MAX_ALIASES} aliases")
        mapping = yaml.safe_load(text)
    # a number or a date that cannot be is a ValueError or an OverflowError of Python's own
    except (OSError, ValueError, OverflowError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise damaged(path, "a camera in YAML", " ".join(str(error).split())[:200]) from error
    if not isinstance(mapping, dict):
        raise damaged(path, "a camera in YAML", type(mapping).__name__)
    return mapping
