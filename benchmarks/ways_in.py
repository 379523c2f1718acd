"""Measures the proxy's rate, and the copies of a drop-in camera from image to engine and back.

`python benchmarks/ways_in.py` starts its own town and proxies, which share the CPU with the client;
run it on an idle machine.

The copies of a drop-in camera with policy `hold` are compared, in one process and in turn, with the
pattern of CARLA's examples: np.frombuffer, a copy without alpha, swapped colours, cv2.resize, and
float32 in [0, 1]; and with that of CARLA2Real (code/epe/experiment/BaseExperiment.py, 07d52ab):
swapped colours as a view, float32 in [-1, 1], channels first. CARLA2Real's networks take the whole
camera picture; where the engine's is smaller, it is resized here as bytes, the quickest place.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import carla
import cv2
import numpy as np
from wire import measure

from realmaster_live.feeds.pixels import camera_picture, engine_frames

READY = re.compile(r"ready on ([\w.]+):(\d+)")
SIZE = (1280, 720)
ENGINE_SIZE = (512, 288)


@contextmanager
def started(*command: str) -> Iterator[int]:
    """Run a command of realmaster on a free port, and yield the port."""
    program = [sys.executable, "-m", "realmaster_live", *command, "--port", "0"]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            found = READY.search(process.stdout.readline() if process.stdout else "")
            if found is None:
                raise SystemExit(f"{command[0]} did not start: run it by hand to see why")
            yield int(found[2])
        finally:
            process.terminate()


def client_of(port: int) -> carla.Client:
    """Return a client connected to a port."""
    client = carla.Client("127.0.0.1", port, 8)
    client.set_timeout(30.0)
    return client


def proxy_figures(seconds: float) -> None:
    """Tick and wait for every image: without the proxy, through it, and realized by it."""
    with started("minitown", "--no-raster") as town:
        upstream = ("--upstream", f"127.0.0.1:{town}", "--engine", "identity")
        print(f"without the proxy        {measure(client_of(town), ('rgb',), SIZE, seconds)}")
        with started("proxy", *upstream, "--role", "nobody") as port:
            print(f"through the proxy        {measure(client_of(port), ('rgb',), SIZE, seconds)}")
        for policy in ("hold", "frame"):
            size = ("--size", f"{ENGINE_SIZE[0]}x{ENGINE_SIZE[1]}")
            with started("proxy", *upstream, "--policy", policy, *size) as port:
                line = measure(client_of(port), ("rgb",), SIZE, seconds)
                print(f"realized by it, {policy:8s} {line}", flush=True)
        time.sleep(0.3)  # the client's threads end after stop()


def example_input(raw: bytes, size: tuple[int, int]) -> np.ndarray:
    """Convert a picture for a network as in CARLA's examples."""
    array = np.frombuffer(raw, np.uint8).reshape(SIZE[1], SIZE[0], 4)
    picture = array[:, :, :3][:, :, ::-1].copy()
    small = cv2.resize(picture, size)
    return small.astype(np.float32) / 255.0


def example_output(frame: np.ndarray) -> np.ndarray:
    """Convert a network's output to a picture of the camera's size, in the same manner."""
    small = (frame * 255.0).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.resize(small, SIZE)[:, :, ::-1])


def carla2real_input(raw: bytes, size: tuple[int, int]) -> np.ndarray:
    """Convert a picture for a network as CARLA2Real does, after a resize of the bytes."""
    array = np.frombuffer(raw, np.uint8).reshape(SIZE[1], SIZE[0], 4)
    picture = cv2.resize(array, size)[:, :, :3][:, :, ::-1]
    return np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32) / 127.5 - 1


def carla2real_output(frame: np.ndarray) -> np.ndarray:
    """Convert a network's output to a picture of the camera's size, in the same manner."""
    small = ((frame.transpose(1, 2, 0) + 1) * 127.5).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.resize(small, SIZE)[:, :, ::-1])


def feed_input(raw: bytes, size: tuple[int, int]) -> np.ndarray:
    """Convert a picture for an engine as a feed does."""
    pixels = np.frombuffer(raw, np.uint8).reshape(SIZE[1], SIZE[0], 4)
    return engine_frames([pixels.copy()], *size)


def feed_output(frame: np.ndarray, image: np.ndarray) -> None:
    """Write a realized frame into the listener's image as a feed does."""
    image[...] = camera_picture(frame[0], *SIZE)


def copies(rounds: int, size: tuple[int, int]) -> None:
    """Time the patterns in turn, and print the medians and the ratio to the better peer."""
    raw = np.random.default_rng(0).integers(0, 256, SIZE[0] * SIZE[1] * 4, np.uint8).tobytes()
    example_frame, peer_frame = example_input(raw, size), carla2real_input(raw, size)
    feed_frame, image = feed_input(raw, size), np.empty((SIZE[1], SIZE[0], 4), np.uint8)
    cases: dict[str, dict[str, Callable[[], object]]] = {
        "image to engine": {
            "examples": lambda: example_input(raw, size),
            "CARLA2Real": lambda: carla2real_input(raw, size),
            "feed": lambda: feed_input(raw, size),
        },
        "engine to image": {
            "examples": lambda: example_output(example_frame),
            "CARLA2Real": lambda: carla2real_output(peer_frame),
            "feed": lambda: feed_output(feed_frame, image),
        },
    }
    print(f"copies per picture, {SIZE[0]}x{SIZE[1]} to {size[0]}x{size[1]} and back")
    total = dict.fromkeys(cases["image to engine"], 0.0)
    for name, patterns in cases.items():
        times: dict[str, list[float]] = {pattern: [] for pattern in patterns}
        for _ in range(rounds):
            for pattern, work in patterns.items():
                began = time.perf_counter()
                work()
                times[pattern].append(time.perf_counter() - began)
        found = {pattern: 1e3 * float(np.median(durations)) for pattern, durations in times.items()}
        report(name, found)
        total = {pattern: total[pattern] + median for pattern, median in found.items()}
    report("both", total)


def report(name: str, found: Mapping[str, float]) -> None:
    """Print the milliseconds of the patterns, and the feed's ratio to the better of the others."""
    figures = ", ".join(f"{pattern} {median:.2f} ms" for pattern, median in found.items())
    better = min(median for pattern, median in found.items() if pattern != "feed")
    print(f"{name}: {figures}, ratio to the better of the others {found['feed'] / better:.2f}")


def main() -> None:
    """Measure the copies and the proxy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=100, help="pictures for each pattern")
    parser.add_argument("--copies", action="store_true", help="measure only the copies")
    options = parser.parse_args()
    for size in (ENGINE_SIZE, SIZE):
        copies(options.rounds, size)
    if not options.copies:
        proxy_figures(options.seconds)


if __name__ == "__main__":
    main()
