"""Times the export of recordings to data sets, and the parts that limit it.

Run `python benchmarks/exports.py [--size WxH] [--frames N] [--variant sim]`. The recording is a
drive through the embedded town with the identity engine.

frames/s    best of three exports.
CPU ms      CPU time of all threads per frame; two cores allow at most 2000 / CPU ms frames/s.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.datasets import Selection, Summary, cityscapes, coco, kitti, yolo
from realmaster_live.datasets.folder import ExportOptions
from realmaster_live.demo.local_town import local_town, pick_ego
from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.live.pipeline import run
from realmaster_live.recording import About, Recorder, Recording
from realmaster_live.system.host import describe_host
from realmaster_live.system.pictures import encode

FPS, ROUNDS = 10.0, 3
EXPORTS: dict[str, Callable[..., Summary]] = {
    "coco": coco.export,
    "yolo": yolo.export,
    "yolo, outlines": partial(yolo.export, segments=True),
    "kitti, png": kitti.export,
    "kitti, jpg": partial(kitti.export, suffix=".jpg"),
    "cityscapes": cityscapes.export,
}


def record(folder: Path, size: tuple[int, int], frames: int) -> None:
    """Record a drive."""
    width, height = size
    spec = ChunkSpec(frames=4, height=height, width=width, fps=FPS)
    with (
        local_town(seed=25, vehicles=40, walkers=40) as port,
        CarlaBridge(
            port=port, ego=pick_ego(port), width=width, height=height, fixed_delta_s=1 / FPS
        ) as bridge,
        Recorder(folder, spec, about=About(source=bridge.info)) as recorder,
    ):
        run(bridge, IdentityEngine(spec), [recorder], max_frames=frames)


def timed(work: Callable[[], Any], count: int) -> tuple[float, float]:
    """Return frames per second and CPU milliseconds per frame, the best of the rounds."""
    rates, spent = [], []
    for _ in range(ROUNDS):
        began, cpu = time.monotonic(), time.process_time()
        work()
        rates.append(count / (time.monotonic() - began))
        spent.append(1e3 * (time.process_time() - cpu) / count)
    return max(rates), min(spent)


def measure(folder: Path, out: Path, variant: str) -> None:
    """Print the rate of every export, and the cost of its parts."""
    selection = Selection(recordings=(folder,), variant=variant)  # type: ignore[arg-type]
    options = ExportOptions(overwrite=True, threads=max(1, (os.cpu_count() or 2) - 1))
    recording = Recording(folder, verify=False)
    count = len(recording)
    things = recording.table("objects").num_rows / count
    print(f"\n{count} frames, {variant}, {things:.1f} things a frame   frames/s   CPU ms")
    for name, export in EXPORTS.items():
        rate, spent = timed(partial(export, selection, out, options=options), count)
        print(f"{name:42}{rate:10.0f}{spent:9.2f}")
    print("of which")
    for streams in ((), ("sim",), ("instance",), ("semantic",)):
        rate, spent = timed(
            lambda streams=streams: sum(1 for _ in recording.samples("front", streams=streams)),
            count,
        )
        print(f"{'reading ' + ('+'.join(streams) or 'tables'):42}{rate:10.0f}{spent:9.2f}")
    pictures = [
        sample.frame.image
        for sample in itertools.islice(recording.samples("front", streams=("sim",), every=8), 20)
    ]
    for suffix in (".jpg", ".png"):
        rate, spent = timed(
            lambda suffix=suffix: [encode(picture, suffix) for picture in pictures], len(pictures)
        )
        print(f"{'encoding ' + suffix:42}{rate:10.0f}{spent:9.2f}")


def main() -> None:
    """Record, then export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--variant", default="sim", choices=("sim", "real", "paired"))
    parser.add_argument("--recording", type=Path, help="export this instead of a new recording")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    host = describe_host()
    print(f"{host.get('cpu', host)}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        recording = options.recording or Path(folder) / "drive"
        if options.recording is None:
            record(recording, (width, height), options.frames)
        measure(recording, Path(folder) / "out", options.variant)


if __name__ == "__main__":
    main()
