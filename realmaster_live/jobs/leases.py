"""Leases: which worker is making which piece now.

A lease is a file that only one process can create. Its holder touches it as a heartbeat; one that
has not been touched for long, or whose process has ended, is taken over. Should its holder turn out
to be alive after all, no harm is done: both make the same piece, and one of the two stays.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from realmaster_live.errors import ConfigError
from realmaster_live.system.atomic_files import part_of
from realmaster_live.system.processes import start_of
from realmaster_live.system.records import encode, read_record
from realmaster_live.system.termination import deferred_signals

LEASES = "leases"
BEATS = 4  # heartbeats in the time after which a lease expires


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process that holds a lease, by everything that tells it from another process."""

    token: str
    host: str
    pid: int
    started: str

    @classmethod
    def this_process(cls) -> Self:
        """Return this process, under a token of its own."""
        pid = os.getpid()
        return cls(token=uuid.uuid4().hex, host=_host(), pid=pid, started=start_of(pid))

    @property
    def ended(self) -> bool:
        """Whether the process is known to have ended, which only its own machine can know."""
        return self.host == _host() and start_of(self.pid) != self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease that this process holds; `orphaned` where its former holder died with it."""

    path: Path
    holder: Holder
    orphaned: bool

    def is_lost(self) -> bool:
        """Return whether it expired and another process has taken it over."""
        return read_holder(self.path) != self.holder


@contextmanager
def hold(dataset: Path, key: str, expiry_s: float) -> Iterator[Lease | None]:
    """Hold the lease of a key, and keep it alive; yields None where another process holds it."""
    path, holder = dataset / LEASES / f"{key}.json", Holder.this_process()
    ended = threading.Event()
    beat = threading.Thread(
        target=_beat, args=(path, holder, expiry_s, ended), name=f"lease-{key[:8]}", daemon=True
    )
    try:  # from before the file is there: every orderly end of this process gives it back
        orphaned = is_stale(path, expiry_s) and _break(path, read_holder(path))
        if not _create(path, holder):
            yield None
            return
        beat.start()
        yield Lease(path=path, holder=holder, orphaned=orphaned)
    finally:
        with deferred_signals():  # a group is signalled, and then its supervisor ends each again
            ended.set()
            if beat.ident is not None:
                beat.join()
            if read_holder(path) == holder:
                path.unlink(missing_ok=True)


def _beat(path: Path, holder: Holder, expiry_s: float, ended: threading.Event) -> None:
    """Touch a lease until the end, or until another holds it."""
    while not ended.wait(expiry_s / BEATS):
        if read_holder(path) != holder:
            return
        with suppress(OSError):  # a full disk or a network failure: try again at the next heartbeat
            os.utime(path)


def is_stale(path: Path, expiry_s: float) -> bool:
    """Whether a lease exists whose holder has ended, or gave no heartbeat for `expiry_s`."""
    try:
        touched = path.stat().st_mtime
        holder = read_holder(path)
        silent_s = now(path.parent) - touched
    except FileNotFoundError:
        return False
    return silent_s > expiry_s or (holder is not None and holder.ended)


def read_holder(path: Path) -> Holder | None:
    """Return the holder of a lease; None where there is no lease or it is half written."""
    try:
        return read_record(path, Holder, what="the holder of a lease", remedy="", error=ConfigError)
    except ConfigError:
        return None


def _create(path: Path, holder: Holder) -> bool:
    """Create a lease; False where there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(file, encode(holder))
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)
    return True


def _break(path: Path, judged: Holder | None) -> bool:
    """Remove a stale lease; False where another process was quicker."""
    with part_of(path) as aside:
        try:
            path.rename(aside)
        except FileNotFoundError:
            return False
        if read_holder(aside) == judged:
            return True
        with suppress(OSError):  # a new holder came in between: put its lease back
            os.link(aside, path)
        return False


def now(folder: Path) -> float:
    """Return the time by the clock of the file system, which all machines of a store share."""
    with part_of(folder / "clock") as probe:
        probe.touch()
        return probe.stat().st_mtime


def _host() -> str:
    """Return a name of the machine, and of the container where process ids are its own."""
    space = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {space.readlink() if space.is_symlink() else ''}".strip()
