"""Keeps the memory of freed arrays for the next ones."""

from __future__ import annotations

import ctypes
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # as glibc's mallopt numbers them
LARGEST_KEPT = 32 * 2**20  # bytes: the most that glibc takes, several pictures
MOST_KEPT = 256 * 2**20


def keep_freed_memory() -> None:
    """Let this process keep what it frees of arrays up to 32 MiB, 256 MiB in each arena at most.

    glibc gives the memory of a freed picture back, and the next picture pays for every page anew:
    a copy of 1 MB then takes three times as long. For programs that make thousands of pictures;
    does nothing where the C library is not glibc.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(TRIM_THRESHOLD, MOST_KEPT)
