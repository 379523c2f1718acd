"""What nvidia-smi says of the NVIDIA GPUs of this machine."""

from __future__ import annotations

import shutil
import subprocess

TIMEOUT_S = 10.0


def query_gpus(*fields: str) -> list[list[str]]:
    """Return the values of some of nvidia-smi's fields for each GPU; nothing where there is none.

    Memory is in MiB.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode != 0:
        return []
    return [[value.strip() for value in line.split(",")] for line in done.stdout.splitlines()]
