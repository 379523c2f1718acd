"""Tells a process from a later one of the same number."""

from __future__ import annotations

from pathlib import Path


def start_of(pid: int) -> str:
    """Return when a process started, in the kernel's own clock.

    It is "" for a process that has ended, and where the system has no /proc.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]  # a zombie has ended
