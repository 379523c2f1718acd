"""Files and folders that are either whole or not there.

A file is written under a hidden name beside its place, synced to the disk, and renamed. So a reader
never sees half of one, and a process that dies leaves nothing but that hidden file.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError, DiskFull, MissingDependency
from realmaster_live.system.contents import sha256_of

PART, OLD = ".part", ".old"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
ROOM = 1 << 20  # bytes; with less than this free, a failure to write is taken for a full disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file that was published: its path, the sha256 of its bytes and how many they are."""

    path: Path
    sha256: str
    bytes: int


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a free name beside `path`; what the body makes there replaces `path` at the end.

    It may make a file or a folder. Where the body raises, `path` stays as it was. Without `sync`
    the result is as whole, but it may be lost when the power fails.
    """
    with part_of(path) as part:
        yield part
        publish(part, path, sync=sync)


def write_bytes(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Replace a file by these bytes."""
    with replacing(path, sync=sync) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str, *, sync: bool = True) -> None:
    """Replace a file by this text, in UTF-8."""
    write_bytes(path, text.encode(), sync=sync)


def write_json(path: Path, value: Any, *, sync: bool = True) -> None:
    """Replace a file by a value in JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n", sync=sync)


@contextmanager
def part_of(path: Path) -> Iterator[Path]:
    """Yield a free name beside `path`, of the same suffix; what is left there is removed."""
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}{PART}{path.suffix}")
    try:
        with room_for(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
    finally:
        _remove(part)


def publish(part: Path, path: Path, *, sync: bool = True) -> None:
    """Sync a finished file, or a folder whose files are synced, and rename it to its place."""
    if sync:
        _sync(part)
    if part.is_dir():
        aside = part.with_name(f"{part.name}{OLD}")
        if path.exists():
            path.rename(aside)  # a folder that is not empty cannot be replaced in one step
        part.rename(path)
        _remove(aside)
    else:
        part.replace(path)
    if sync:
        _sync(path.parent)  # or the new name may be lost with the power


def settle(part: Path, path: Path) -> Stored:
    """Publish a finished file, and return its hash and size."""
    stored = Stored(path=path, sha256=sha256_of(part), bytes=part.stat().st_size)
    publish(part, path)
    return stored


def remove_leftovers(path: Path) -> None:
    """Remove the unfinished files and folders of dead processes; nobody may be writing `path`."""
    token = f"\\.[0-9a-f]{{12}}{re.escape(PART)}"
    stem, suffix, name = (re.escape(text) for text in (path.stem, path.suffix, path.name))
    leftover = re.compile(rf"\.({stem}{token}{suffix}|{name}{token})({re.escape(OLD)})?")
    if path.parent.is_dir():
        for other in path.parent.iterdir():
            if leftover.fullmatch(other.name):
                _remove(other)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name != "posix":
        return
    file = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Raise DiskFull where the body fails for want of room at `path`."""
    try:
        yield
    except Exception as error:
        if is_full(error, path):
            raise DiskFull(
                f"expected room for {path.name} in {path.parent}, got a full disk: free some space "
                "and run the same command again, which goes on where this one stopped"
            ) from error
        raise


def is_full(error: BaseException, path: Path) -> bool:
    """Whether an error comes from a full disk, however the library that met it words it."""
    if isinstance(error, DiskFull | ConfigError | MissingDependency):
        return False
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, OSError) and chain.errno in FULL:
            return True
        if "No space left on device" in str(chain):
            return True
        chain = chain.__cause__ or chain.__context__
    try:
        return shutil.disk_usage(path.parent).free < ROOM
    except OSError:
        return False
