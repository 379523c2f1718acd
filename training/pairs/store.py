"""Objects of a dataset: files that are named by their key.

The hidden `.part` file that a process leaves when it dies is removed by `collect`.
"""

from __future__ import annotations

from pathlib import Path

OBJECTS = "objects"


def object_path(dataset: Path, key: str, suffix: str) -> Path:
    """Return where the object of a key is, or would be; `suffix` has its dot."""
    return dataset / OBJECTS / key[:2] / f"{key}{suffix}"
