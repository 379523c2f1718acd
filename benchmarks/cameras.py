"""Several cameras through one engine against an engine for each: cost and memory.

`python benchmarks/cameras.py [--engine DIR | --torch] [--size WxH]`. `--torch` runs a checkpoint of
random weights with the shipped model's profile. Per number of cameras it prints the processor's
time for a chunk of every camera and the wall time, medians over rounds in which all variants take
turns, and the memory that engines take once they have run, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine import chunk_of

from realmaster_live.engines.load import load_engine

CAMERAS = (1, 3, 6)
SEPARATE = 4  # the engines that six cameras through one are compared with
MIB = 2**20


def realizer(name: str, cameras: int, *, separate: bool, **options: Any) -> Callable[[], object]:
    """Return a function that realizes a chunk of each of several cameras."""
    if separate or cameras == 1:
        engines = [load_engine(name, **options) for _ in range(cameras)]
        chunks = [chunk_of(engines[0], 0, seed) for seed in range(cameras)]
        return lambda: [each.realize(one) for each, one in zip(engines, chunks, strict=True)]
    rig: Any = load_engine(name, cameras=cameras, **options)
    together = tuple(chunk_of(rig, 0, seed) for seed in range(cameras))
    return lambda: rig.realize_together(together)


def save_random(folder: Path) -> None:
    """Write a checkpoint of random weights with the shipped model's profile."""
    from realmaster_live.engines.embedded import EMBEDDED_FOLDER
    from realmaster_live.engines.manifest import read_manifest
    from realmaster_live.model.checkpoint import save_checkpoint
    from realmaster_live.model.dit import InContextTransformer
    from realmaster_live.model.profile import Profile
    from realmaster_live.model.vae import StreamingAutoencoder

    profile = Profile.from_dict(read_manifest(EMBEDDED_FOLDER)["profile"])
    save_checkpoint(folder, StreamingAutoencoder(profile), InContextTransformer(profile))


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_of(case: dict[str, Any]) -> int:
    """Return the bytes that one variant's engines take, in a process of its own."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run_case(case: dict[str, Any]) -> None:
    """Print the bytes that engines take, beyond what the first one's libraries do."""
    load_engine(case["name"], **{**case["options"], "width": 64, "height": 64}).close()
    before = resident()
    work = realizer(case["name"], case["cameras"], separate=case["separate"], **case["options"])
    for _ in range(2):
        work()
    print(resident() - before)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="embedded")
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("--size", default="512x288")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        run_case(json.loads(arguments.case))
        return
    width, height = map(int, arguments.size.split("x"))
    options = {"width": width, "height": height, "threads": arguments.threads}
    with tempfile.TemporaryDirectory() as folder:
        name = arguments.engine
        if arguments.torch:
            name = folder
            save_random(Path(folder))
        measure(name, options, arguments.rounds)


def measure(name: str, options: dict[str, Any], rounds: int) -> None:
    """Print each variant's cost and memory, and the ratios."""
    variants = [(count, separate) for count in CAMERAS for separate in (False, True)]
    variants = [one for one in variants if one != (1, True)] + [(SEPARATE, True)]
    cpu_s: dict[tuple[int, bool], list[float]] = {one: [] for one in variants}
    wall_s: dict[tuple[int, bool], list[float]] = {one: [] for one in variants}
    work = {
        (count, separate): realizer(name, count, separate=separate, **options)
        for count, separate in variants
    }
    for index in range(rounds + 1):  # the first one warms up
        for one in variants:
            began, spent = time.perf_counter(), time.process_time()
            work[one]()
            if index:
                cpu_s[one].append(time.process_time() - spent)
                wall_s[one].append(time.perf_counter() - began)
    cpu, wall, mib = {}, {}, {}
    print(f"{name}, {options}, {os.cpu_count()} cores; a chunk of every camera")
    for one in variants:
        count, separate = one
        cpu[one], wall[one] = statistics.median(cpu_s[one]), statistics.median(wall_s[one])
        case = {"name": name, "cameras": count, "separate": separate, "options": options}
        mib[one] = memory_of(case) / MIB
        print(
            f"{count} cameras, {'an engine each' if separate else 'one engine':14s}: "
            f"{1e3 * cpu[one]:7.0f} ms of CPU, {1e3 * wall[one]:7.0f} ms, {mib[one]:6.0f} MiB",
            flush=True,
        )
    one, four = (max(CAMERAS), False), (SEPARATE, True)
    for what, of in (("CPU", cpu), ("wall", wall), ("memory", mib)):
        print(
            f"{what}: six through one / {SEPARATE} separate {of[one] / of[four]:.2f}, "
            f"/ 6 separate {of[one] / of[6, True]:.2f}, / one camera {of[one] / of[1, False]:.2f}"
        )


if __name__ == "__main__":
    main()
