"""The road networks of a recording: maps/HASH.xodr, one OpenDRIVE file for each town.

A file is named by the hash of its content, which is checked when it is read. meta.json says which
town has which file.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

from realmaster_live.errors import RecordingError, reason
from realmaster_live.recording.about import Meta
from realmaster_live.recording.files import replacing, unwritable
from realmaster_live.system.inside import SafeFolder

FOLDER = "maps"
NAME = re.compile(r"[0-9a-f]{16}\.xodr")


def keep_road_map(meta: Meta, folder: Path, town: str, text: str) -> Meta:
    """Store a town's OpenDRIVE in a recording, and return its `meta` with the file's name.

    Raises:
        RecordingError: it cannot be written.
    """
    data = text.encode()
    name = f"{_digest(data)}.xodr"
    try:
        (folder / FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        raise unwritable(folder / FOLDER, error) from error
    with replacing(folder / FOLDER / name) as part:
        part.write_bytes(data)
    return replace(meta, road_maps={**meta.road_maps, town: name})


def read_road_maps(folder: Path, meta: Meta) -> dict[str, str]:
    """Return town -> OpenDRIVE text; towns whose source gave none are missing.

    Raises:
        RecordingError: a file is missing or damaged.
    """
    root = SafeFolder(folder, error=RecordingError)
    return {town: _read(root, name) for town, name in meta.road_maps.items()}


def _read(root: SafeFolder, name: str) -> str:
    path = f"{FOLDER}/{name}"
    try:
        with root.open(path) as file:
            data = file.read()
    except OSError as error:
        raise RecordingError(
            f"expected to read {root.path / path}, got {reason(error)}: check the disk, or restore "
            "the file from a copy"
        ) from error
    if not NAME.fullmatch(name) or name != f"{_digest(data)}.xodr":
        raise RecordingError(
            f"expected the OpenDRIVE that was recorded in {root.path / path}, got other bytes: "
            "restore the file from a copy"
        )
    return data.decode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
