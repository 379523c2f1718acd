"""The thirteen tables of nuScenes v1.0, written row by row so that memory stays flat."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any

TABLES = (
    "category", "attribute", "visibility", "instance", "sensor", "calibrated_sensor", "ego_pose",
    "log", "scene", "sample", "sample_data", "sample_annotation", "map",
)  # fmt: skip


def token_of(table: str, *key: object) -> str:
    """Return the token of the row that `key` names: two runs give the same ones."""
    name = "\0".join([table, *map(str, key)])
    return hashlib.sha256(name.encode()).hexdigest()[:32]


class Tables:
    """One JSON file a table; each is there, whole, once the context is left without an error."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files: dict[str, IO[str]] = {}
        self._rows = dict.fromkeys(TABLES, 0)

    def __enter__(self) -> Tables:
        for table in TABLES:
            path = self._folder / f"{table}.json.part"
            self._files[table] = path.open("w", encoding="utf-8")
            self._files[table].write("[")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for table, file in self._files.items():
            file.write("\n]\n")
            file.close()
            if error is None:
                (self._folder / f"{table}.json.part").replace(self._folder / f"{table}.json")

    def add(self, table: str, token: str, **fields: Any) -> None:
        """Write a row."""
        file = self._files[table]
        file.write("\n" if self._rows[table] == 0 else ",\n")
        file.write(json.dumps({"token": token, **fields}))
        self._rows[table] += 1

    def __len__(self) -> int:
        """Return the number of rows in all tables."""
        return sum(self._rows.values())
