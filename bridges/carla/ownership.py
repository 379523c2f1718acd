"""The owners of spawned actors: a role name states the process and the host.

    realmaster@HOST:NAMESPACE:PID:STARTED

NAMESPACE tells apart machines and containers that share a host name; STARTED tells a process from
a later one of the same number. Both are empty where the system has no /proc.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from realmaster_live.system.processes import start_of

ROLE = "realmaster"
Liveness = Literal["alive", "dead", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The process that spawned an actor."""

    host: str
    namespace: str
    pid: int
    started: str

    @property
    def role_name(self) -> str:
        """The role name of what this process spawns."""
        return f"{ROLE}@{self.host}:{self.namespace}:{self.pid}:{self.started}"

    def liveness(self) -> Liveness:
        """Return whether the process lives; unknown for one of another host or container."""
        if (self.host, self.namespace) != (_host(), _namespace()):
            return "unknown"
        if not Path("/proc/self/stat").exists():
            return _liveness_without_proc(self.pid)
        return "alive" if start_of(self.pid) == self.started else "dead"

    def __str__(self) -> str:
        """Return the process as messages name it."""
        return f"process {self.pid} on {self.host}"


def this_process() -> Owner:
    """Return the owner of what this process spawns."""
    pid = os.getpid()
    return Owner(host=_host(), namespace=_namespace(), pid=pid, started=start_of(pid))


def is_ours(role_name: str) -> bool:
    """Return whether a bridge of this project spawned an actor of this role name."""
    return role_name == ROLE or role_name.startswith(f"{ROLE}@")


def owner_of(role_name: str) -> Owner | None:
    """Return the owner that a role name tells; None where it tells none."""
    parts = role_name.removeprefix(f"{ROLE}@").split(":")
    if not role_name.startswith(f"{ROLE}@") or len(parts) != 4 or not parts[2].isdecimal():
        return None
    return Owner(host=parts[0], namespace=parts[1], pid=int(parts[2]), started=parts[3])


def _host() -> str:
    return socket.gethostname().replace(":", "-")


@cache
def _namespace() -> str:
    """Return what no other machine or container shares, "" where the system has no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return f"{boot[:8]}-{Path('/proc/self/ns/pid').stat().st_ino:x}"
    except OSError:
        return ""


def _liveness_without_proc(pid: int) -> Liveness:
    if os.name == "nt":  # os.kill would end the process there
        return "unknown"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "dead"
    except OSError:
        pass
    return "alive"
