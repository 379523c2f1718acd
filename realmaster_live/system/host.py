"""What machine this is: processor, memory, system and Python."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realmaster_live.system.nvidia import query_gpus

# Linux's flag -> name, of what the speed of a network depends on
INSTRUCTIONS: Mapping[str, str] = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "VNNI",
    "avx_vnni": "VNNI",
    "amx_int8": "AMX",
}


def describe_host() -> dict[str, Any]:
    """Return processor, its instructions for arithmetic, cores, memory, system and Python."""
    memory = total_bytes()
    return {
        "cpu": _cpu_info("model name") or platform.processor() or platform.machine(),
        "instructions": _instructions(),
        "cores": os.cpu_count(),
        "memory_gib": None if memory == sys.maxsize else round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def total_bytes() -> int:
    """Return the memory of this machine; no limit where the system does not say."""
    if not hasattr(os, "sysconf"):
        return sys.maxsize
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def available_bytes() -> int:
    """Return the memory that programs can still take; no limit where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return sys.maxsize


def memory_used() -> dict[str, Any]:
    """Return the most memory that this process has held, and what the GPUs hold now, in MiB."""
    found: dict[str, Any] = {}
    if sys.platform != "win32":
        import resource

        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found["peak_memory_mib"] = round(kilobytes / (1024 if sys.platform != "darwin" else 2**20))
    gpus = [row[0] for row in query_gpus("memory.used") if row and row[0].isdigit()]
    return found | ({"gpu_memory_mib": [int(each) for each in gpus]} if gpus else {})


def resident_mib() -> float:
    """Return the memory that this process holds now, MiB; NaN where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux
        return math.nan
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _instructions() -> list[str]:
    """Return which of INSTRUCTIONS the processor has; none where the system does not say."""
    flags = _cpu_info("flags").split()
    return list(dict.fromkeys(name for flag, name in INSTRUCTIONS.items() if flag in flags))


def _cpu_info(key: str) -> str:
    """Return what Linux says of the first core; "" elsewhere."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith(key):
                return line.partition(":")[2].strip()
    return ""
