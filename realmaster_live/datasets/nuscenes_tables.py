"""The thirteen tables of nuScenes v1.0, whose rows are collected by recording and then joined."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from realmaster_live.system.atomic_files import part_of, settle

TABLES = (
    "category", "attribute", "visibility", "instance", "sensor", "calibrated_sensor", "ego_pose",
    "log", "scene", "sample", "sample_data", "sample_annotation", "map",
)  # fmt: skip


def token_of(table: str, *key: object) -> str:
    """Return the token of the row that `key` names; it is the same in every run."""
    name = "\0".join([table, *map(str, key)])
    return hashlib.sha256(name.encode()).hexdigest()[:32]


class Rows:
    """Rows by table and token.

    Attributes:
        tables: table -> token -> the row's other fields.
    """

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, dict[str, Any]]] = {}

    def add(self, table: str, token: str, **fields: Any) -> str:
        """Add a row unless there is one with this token; return the token."""
        assert table in TABLES, table
        self.tables.setdefault(table, {}).setdefault(token, fields)
        return token


def write_tables(
    paths: Mapping[str, Path], parts: Iterable[Mapping[str, Mapping[str, Mapping[str, Any]]]]
) -> None:
    """Write one JSON file for each table, from `Rows.tables` in which tokens may repeat.

    Only one part at a time is in memory.
    """
    with ExitStack() as stack:
        names = {table: stack.enter_context(part_of(path)) for table, path in paths.items()}
        files = {
            table: stack.enter_context(part.open("w", encoding="utf-8"))
            for table, part in names.items()
        }
        written: dict[str, set[str]] = {table: set() for table in TABLES}
        for tables in parts:
            for table, rows in tables.items():
                for token, fields in rows.items():
                    if token in written[table]:
                        continue
                    row = json.dumps({"token": token, **fields})
                    files[table].write((",\n" if written[table] else "[\n") + row)
                    written[table].add(token)
        for table, file in files.items():
            file.write("\n]\n" if written[table] else "[]\n")
            file.close()
            settle(names[table], paths[table])
