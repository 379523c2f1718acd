"""Objects of a dataset: files that are named by their key.

The hidden `.part` file that a process leaves when it dies is removed by `collect`.
"""

from __future__ import annotations

import re
from pathlib import Path

from realmaster_live.errors import PairError

OBJECTS = "objects"
KEY = re.compile(r"[0-9a-f]{64}")


def object_path(dataset: Path, key: str, suffix: str) -> Path:
    """Return where the object of a key is, or would be; `suffix` has its dot.

    Raises:
        PairError: the key, which may have been read from a file, is no sha256.
    """
    if not KEY.fullmatch(key):
        raise PairError(
            f"expected the key of an object, a sha256, got {key!r}: the manifest is damaged, so "
            "run the stage again that wrote it"
        )
    return dataset / OBJECTS / key[:2] / f"{key}{suffix}"
