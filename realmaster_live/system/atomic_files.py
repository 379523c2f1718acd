"""Files that are either whole or not there.

A file is written beside its place, synced to the disk, and moved there. So a reader never sees half
of one, and a process that dies leaves nothing but a hidden `.part` file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from realmaster_live.errors import ConfigError, DiskFull, MissingDependency

PART = ".part"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
ROOM = 1 << 20  # bytes; with less than this free, a failure to write is taken for a full disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file as it lies in the store: its path, the sha256 of its bytes and how many they are."""

    path: Path
    sha256: str
    bytes: int


@contextmanager
def part_of(path: Path) -> Iterator[Path]:
    """Yield a free name beside `path`, of the same suffix; what is left there is removed."""
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}{PART}{path.suffix}")
    try:
        with room_for(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


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


def settle(part: Path, path: Path) -> Stored:
    """Sync a finished file to the disk and move it to its place."""
    digest = hashlib.sha256()
    with part.open("rb+") as file:
        while block := file.read(1 << 20):
            digest.update(block)
        size = file.tell()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or the new name may be lost with the power
    finally:
        os.close(folder)
    return Stored(path=path, sha256=digest.hexdigest(), bytes=size)


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
