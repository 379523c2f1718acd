"""Objects of a dataset: whole files that are named by their key.

What a process that died left of one is a hidden `.part` file, which `collect` removes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from realmaster_live.system.atomic_files import Stored, part_of, settle

OBJECTS = "objects"


def object_path(dataset: Path, key: str, suffix: str) -> Path:
    """Return where the object of a key is, or would be; `suffix` has its dot."""
    return dataset / OBJECTS / key[:2] / f"{key}{suffix}"


def commit(dataset: Path, key: str, suffix: str, write: Callable[[Path], object]) -> Stored:
    """Have `write(path)` make a file and give it its place; an older one of the key is replaced.

    Raises:
        DiskFull: there is no room for it. Any other error is `write`'s own.
    """
    with part_of(object_path(dataset, key, suffix)) as part:
        write(part)
        return settle(part, object_path(dataset, key, suffix))
