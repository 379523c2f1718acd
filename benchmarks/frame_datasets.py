"""Times training on a recording against the same pictures in a folder.

Run `python benchmarks/frame_datasets.py [--recording DIR] [--size WxH] [--frames N]`. Without
--recording it drives through the embedded town with the identity engine. The folder holds the
realized pictures as PNG or JPEG, and instances as PNG in CARLA's colours.

ms/frame     wall time of one item as tensors, the median of the rounds, which take turns.
CPU          processor time of the same.
ratio        wall time to that of the recording; above 1 the folder is slower.
MB           on the disk.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import exports
import numpy as np
import torch

import realmaster_live as rm
from realmaster_live.system.host import describe_host
from realmaster_live.system.pictures import encode

ROUNDS = 5


def as_folder(data: rm.datasets.FrameDataset, folder: Path, suffix: str) -> None:
    """Write the items as picture files."""
    folder.mkdir()
    for number, item in enumerate(data):
        picture = item["image"].permute(1, 2, 0).numpy()
        (folder / f"{number}{suffix}").write_bytes(encode(picture, suffix))
        codes = item["instance"].numpy().view(np.uint8).reshape(*picture.shape[:2], 4)
        (folder / f"{number}_i.png").write_bytes(encode(codes[..., :3], ".png"))


def from_folder(folder: Path, suffix: str, number: int, *, labels: bool) -> dict[str, Any]:
    """Return an item as a data set of picture files reads it."""
    bgr = cv2.imread(str(folder / f"{number}{suffix}"))
    item = {"image": torch.from_numpy(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)}
    if labels:
        codes = cv2.imread(str(folder / f"{number}_i.png")).astype(np.int32)
        instance = codes[..., 2] | codes[..., 1] << 8 | codes[..., 0] << 16
        item["instance"] = torch.from_numpy(instance)
    return item


def megabytes(paths: list[Path]) -> float:
    """Return the size of files."""
    return sum(path.stat().st_size for path in paths) / 1e6


def measure(recording: Path, scratch: Path) -> None:
    """Print both sides, random and in order."""
    both = rm.datasets.FrameDataset(recording, labels="instance")
    alone = rm.datasets.FrameDataset(recording)
    films = sorted(recording.glob("segments/*/*/real.*")), sorted(recording.glob("**/instance.*"))
    print(f"{both}, {both[0]['image'].shape[2]}x{both[0]['image'].shape[1]}")
    print(f"recording: {megabytes([*films[0], *films[1]]):.1f} MB")
    ways: dict[str, tuple[Callable[[int], Any], Callable[[int], Any]]] = {
        "recording": (alone.__getitem__, both.__getitem__)
    }
    for suffix in (".png", ".jpg"):
        folder = scratch / suffix[1:]
        as_folder(both, folder, suffix)
        print(f"{suffix[1:]}: {megabytes(list(folder.iterdir())):.1f} MB")
        ways[suffix[1:]] = (
            lambda n, folder=folder, suffix=suffix: from_folder(folder, suffix, n, labels=False),
            lambda n, folder=folder, suffix=suffix: from_folder(folder, suffix, n, labels=True),
        )
    count = len(both)
    draw = random.Random(0)
    orders = {
        "random, real": (0, lambda: [draw.randrange(count) for _ in range(100)]),
        "random, real + instance": (1, lambda: [draw.randrange(count) for _ in range(100)]),
        "in order, real + instance": (1, lambda: list(range(min(count, 400)))),
    }
    print(f"\n{'':28}{'':12}ms/frame   CPU  frames/s  ratio")
    for title, (way, order) in orders.items():
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            places = order()
            for name, readers in ways.items():
                began, cpu = time.perf_counter(), time.process_time()
                for place in places:
                    readers[way](place)
                wall = (time.perf_counter() - began) / len(places)
                spent[name].append((wall, (time.process_time() - cpu) / len(places)))
        base = statistics.median(wall for wall, _ in spent["recording"])
        for name, times in spent.items():
            wall = statistics.median(one for one, _ in times)
            cpu = statistics.median(one for _, one in times)
            print(
                f"{title:28}{name:12}{1e3 * wall:8.2f}{1e3 * cpu:7.2f}{1 / wall:9.0f}"
                f"{wall / base:7.2f}"
            )


def main() -> None:
    """Record, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="512x288")
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--recording", type=Path, help="measure this instead of a new recording")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    width, height = map(int, options.size.split("x"))
    host = describe_host()
    print(f"{host.get('cpu', host)}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        recording = options.recording or Path(folder) / "drive"
        if options.recording is None:
            exports.record(recording, (width, height), options.frames)
        measure(recording, Path(folder))


if __name__ == "__main__":
    main()
