"""Measures what the ways in cost: the proxy's rate, and the copies from image to engine and back.

`python benchmarks/ways_in.py` starts its own town and proxies; run it on an idle machine. The
proxy's figures share the processor with the town and the client.

The other part compares, in one process and turn by turn, what a drop-in camera with policy `hold`
does to each picture, its copies of the image's memory included, with the pattern of CARLA's own
examples: np.frombuffer, a copy without alpha, colours turned round, cv2.resize, float32 in [0, 1].
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
    """Run a command of ours on a free port; yield the port."""
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
    """Return a client of a port."""
    client = carla.Client("127.0.0.1", port, 8)
    client.set_timeout(30.0)
    return client


def proxy_figures(seconds: float) -> None:
    """Tick and wait for every image: past the proxy, through it, and realized in it."""
    with started("minitown", "--no-raster") as town:
        upstream = ("--upstream", f"127.0.0.1:{town}", "--engine", "identity")
        print(f"past the proxy           {measure(client_of(town), ('rgb',), SIZE, seconds)}")
        with started("proxy", *upstream, "--role", "nobody") as port:
            print(f"through it, as it is     {measure(client_of(port), ('rgb',), SIZE, seconds)}")
        for policy in ("hold", "frame"):
            size = ("--size", f"{ENGINE_SIZE[0]}x{ENGINE_SIZE[1]}")
            with started("proxy", *upstream, "--policy", policy, *size) as port:
                line = measure(client_of(port), ("rgb",), SIZE, seconds)
                print(f"realized in it, {policy:8s} {line}", flush=True)
        time.sleep(0.3)  # the client's threads end after stop()


def ordinary(raw: bytes) -> np.ndarray:
    """What CARLA's examples do to a picture for a network."""
    array = np.frombuffer(raw, np.uint8).reshape(SIZE[1], SIZE[0], 4)
    picture = array[:, :, :3][:, :, ::-1].copy()
    small = cv2.resize(picture, ENGINE_SIZE)
    return small.astype(np.float32) / 255.0


def ordinary_back(frame: np.ndarray) -> np.ndarray:
    """The same pattern from a network's answer to a picture of the camera's size."""
    small = (frame * 255.0).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.resize(small, SIZE)[:, :, ::-1])


def ours(raw: bytes) -> np.ndarray:
    """What a feed does to a picture for its engine."""
    pixels = np.frombuffer(raw, np.uint8).reshape(SIZE[1], SIZE[0], 4)
    return engine_frames([pixels.copy()], *ENGINE_SIZE)


def ours_back(frame: np.ndarray, image: np.ndarray) -> None:
    """What a feed does to a realized frame for its listener, who gets it in the image's memory."""
    image[...] = camera_picture(frame[0], *SIZE)


def copies(rounds: int) -> None:
    """Time both patterns in turn, picture by picture; print medians."""
    raw = np.random.default_rng(0).integers(0, 256, SIZE[0] * SIZE[1] * 4, np.uint8).tobytes()
    their_frame, our_frame = ordinary(raw), ours(raw)
    image = np.empty((SIZE[1], SIZE[0], 4), np.uint8)
    cases: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "image to engine": (lambda: ordinary(raw), lambda: ours(raw)),
        "engine to image": (
            lambda: ordinary_back(their_frame),
            lambda: ours_back(our_frame, image),
        ),
    }
    print(f"copies a picture, {SIZE[0]}x{SIZE[1]} to {ENGINE_SIZE[0]}x{ENGINE_SIZE[1]} and back")
    for name, (theirs, mine) in cases.items():
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for work, spent in zip((theirs, mine), times, strict=True):
                began = time.perf_counter()
                work()
                spent.append(time.perf_counter() - began)
        slow, fast = (1e3 * float(np.median(spent)) for spent in times)
        print(f"{name}: ordinary {slow:.2f} ms, ours {fast:.2f} ms, {fast / slow:.2f} of it")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=100, help="pictures of each pattern")
    parser.add_argument("--copies", action="store_true", help="leave the proxy out")
    options = parser.parse_args()
    copies(options.rounds)
    if not options.copies:
        proxy_figures(options.seconds)


if __name__ == "__main__":
    main()
