"""What the system says of a process: when it started, and what it has taken of the processor."""

from __future__ import annotations

import math
import os
from pathlib import Path


def start_of(pid: int) -> str:
    """Return when a process started, in the kernel's own clock.

    It is "" for a process that has ended, and where the system has no /proc.
    """
    fields = _fields(pid)
    return fields[19] if fields else ""


def processor_s(pid: int) -> float:
    """Return seconds of the processor that a process has taken; NaN where `start_of` is ""."""
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else math.nan


def _fields(pid: int) -> list[str]:
    """Return what /proc says behind the process's name, from its state on; [] if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    fields = text.rpartition(")")[2].split()
    return [] if fields[0] in "ZX" else fields  # a zombie has ended
