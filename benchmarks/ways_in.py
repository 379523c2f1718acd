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
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import carla
import cv2
import numpy as np
from wire import measure

from realmaster_live.feeds.buffers import BufferPool
from realmaster_live.feeds.pixels import camera_picture, engine_frames

READY = re.compile(r"ready on ([\w.]+):(\d+) \(\w+ on (\d+)")
SIZE = (1280, 720)
ENGINE_SIZE = (512, 288)


RELAY = """
import socket, sys, threading
def pump(one, other):
    while data := one.recv(1 << 18):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)
def serve(port):
    listener = socket.create_server(("127.0.0.2", port))
    while True:
        client, server = listener.accept()[0], socket.create_connection(("127.0.0.1", port))
        for ends in ((client, server), (server, client)):
            ends[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=pump, args=ends, daemon=True).start()
for port in sys.argv[1:]:
    threading.Thread(target=serve, args=(int(port),)).start()
print("ready on 127.0.0.2:" + sys.argv[1], "(streams on " + sys.argv[2] + ")", flush=True)
"""
TICKS_S = os.sysconf("SC_CLK_TCK")


class Started(NamedTuple):
    """A program that serves: its address, its port for streams, and its process."""

    host: str
    port: int
    streams: int
    pid: int

    @property
    def cpu_s(self) -> float:
        """The processor's time that it has taken, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_S


@contextmanager
def started(*command: str) -> Iterator[Started]:
    """Run a program that says where it is ready, until the end."""
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            found = READY.search(process.stdout.readline() if process.stdout else "")
            if found is None:
                raise SystemExit(f"{command[1]} did not start: run it by hand to see why")
            yield Started(found[1], int(found[2]), int(found[3]), process.pid)
        finally:
            process.terminate()


def ours(verb: str, *options: str) -> AbstractContextManager[Started]:
    """Run a verb of realmaster on a free port."""
    return started("-m", "realmaster_live", verb, *options, "--port", "0")


def proxy_figures(seconds: float, rounds: int) -> None:
    """Tick and wait for every image: directly, through a plain relay and the proxy, realized by it.

    They take turns. The relay forwards bytes with `recv` and `sendall`, and knows nothing of CARLA.
    """
    with ExitStack() as stack:
        town = stack.enter_context(ours("minitown", "--no-raster"))
        options = ("proxy", "--upstream", f"127.0.0.1:{town.port}", "--engine", "identity")
        size = ("--size", f"{ENGINE_SIZE[0]}x{ENGINE_SIZE[1]}")
        ways = {"direct": town} | {
            name: stack.enter_context(way)
            for name, way in {
                "plain relay": started("-c", RELAY, str(town.port), str(town.streams)),
                "proxy": ours(*options, "--role", "nobody"),
                "proxy, hold": ours(*options, *size),
                "proxy, frame": ours(*options, *size, "--policy", "frame"),
            }.items()
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        taken_ms: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                client = carla.Client(way.host, way.port, 8)
                client.set_timeout(30.0)
                before, began = way.cpu_s, time.perf_counter()
                line = measure(client, ("rgb",), SIZE, seconds)
                rate = float(line.split()[2])
                rates[name].append(rate)
                images = rate * (time.perf_counter() - began)
                taken_ms[name].append(1e3 * (way.cpu_s - before) / images)
                time.sleep(0.3)  # the client's threads end after stop()
        print(f"{SIZE[0]}x{SIZE[1]}, tick and wait for the image; {rounds} rounds in turn")
        for name in ways:
            relative = np.median(np.divide(rates[name], rates["plain relay"]))
            print(
                f"{name:13s} {np.median(rates[name]):6.1f} images/s, at best "
                f"{max(rates[name]):6.1f}; {relative:.2f} of the relay's; "
                f"{np.median(taken_ms[name]):.2f} ms of CPU each"
            )


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


def feed_output(frame: np.ndarray, image: np.ndarray, pool: BufferPool) -> None:
    """Write a realized frame into the listener's image as a feed does."""
    image[...] = camera_picture(frame[0], *SIZE, out=pool.take(*image.shape))


def copies(rounds: int, size: tuple[int, int]) -> None:
    """Time the patterns in turn, and print the medians and the ratio to the better peer."""
    raw = np.random.default_rng(0).integers(0, 256, SIZE[0] * SIZE[1] * 4, np.uint8).tobytes()
    example_frame, peer_frame = example_input(raw, size), carla2real_input(raw, size)
    feed_frame, image = feed_input(raw, size), np.empty((SIZE[1], SIZE[0], 4), np.uint8)
    pool = BufferPool()
    cases: dict[str, dict[str, Callable[[], object]]] = {
        "image to engine": {
            "examples": lambda: example_input(raw, size),
            "CARLA2Real": lambda: carla2real_input(raw, size),
            "feed": lambda: feed_input(raw, size),
        },
        "engine to image": {
            "examples": lambda: example_output(example_frame),
            "CARLA2Real": lambda: carla2real_output(peer_frame),
            "feed": lambda: feed_output(feed_frame, image, pool),
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
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=100, help="pictures for each pattern")
    parser.add_argument("--copies", action="store_true", help="measure only the copies")
    parser.add_argument("--turns", type=int, default=3, help="measurements of each way")
    options = parser.parse_args()
    for size in (ENGINE_SIZE, SIZE):
        copies(options.rounds, size)
    if not options.copies:
        proxy_figures(options.seconds, options.turns)


if __name__ == "__main__":
    main()
