"""Measures whether sinks slow the live loop: its latencies with all of them on against none.

Run `python benchmarks/sinks.py [--size WxH] [--rounds N] [--chunks N] [--share X | --rate X]`.

Frames of the embedded town, captured before, are played at a share of the rate that the shipped
model can sustain alone, or at a given one, as a simulator would that leaves the machine some room.
Rounds without and with sinks alternate in one process. A sample is the time from the end of a
chunk's capture until the loop has handed it to all sinks: the wait for the engine, the engine, and
the handing over. The second row is how late the capture thread itself comes to take a frame. On
Linux it prints what each sink's thread takes of the processor too, and how long the engine's thread
was ready to run in the slowest hundredth of its chunks, but had no core.

The sinks: files, servers without a viewer, topics without a subscriber, and an RTMP stream to a
receiver in another process; not a virtual camera, which needs a device.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from recording import capture

import realmaster_live as rm
from realmaster_live.errors import RealMasterError
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.sinks import BackgroundSink
from realmaster_live.system.host import describe_host

WARM = 3  # chunks in which libraries are loaded
RECEIVER = """
import sys, av
with av.open(sys.argv[1], options={"listen": "1"}, timeout=60) as container:
    for packet in container.demux(video=0):
        pass
"""


class Paced:
    """A source that plays captured frames at a rate, again and again."""

    def __init__(self, frames: Sequence[Frame], rate: float, count: int) -> None:
        self._frames, self._step_s, self._count = frames, 1 / rate if rate else 0.0, count
        self.late_s: list[float] = []

    def frames(self) -> Iterator[Frame]:
        """Yield each frame when it is due, captured then."""
        began = time.monotonic()
        for number in range(self._count):
            due = began + number * self._step_s
            time.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            self.late_s.append(now - due)
            frame = self._frames[number % len(self._frames)]
            numbered = replace(frame, frame_id=number + 1, timestamp=number / 20)
            yield replace(numbered, captured_at=now)

    def close(self) -> None:
        """Do nothing; the frames are kept."""


class Clock:
    """The last sink: it notes when the loop has handed a chunk to all others, and what they ran."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.ran_s: list[dict[str, float]] = []  # by every thread that Python knows

    def write(self, chunk: Chunk) -> None:
        """Note how long ago the chunk's capture ended."""
        self.seconds.append(time.monotonic() - float(chunk.captured_at[-1]))
        threads = threading.enumerate()
        self.ran_s.append({one.name: thread_seconds(one.native_id or 0)[0] for one in threads})

    def close(self) -> None:
        """Do nothing."""


class Watched:
    """The engine; it notes each chunk's seconds, and those in which its thread had no core."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.seconds: list[tuple[float, float]] = []

    def __getattr__(self, name: str) -> Any:
        """Be the engine in all else."""
        return getattr(self._engine, name)

    def realize(self, chunk: Chunk) -> Chunk:
        """Realize a chunk."""
        began, (_, waited) = time.monotonic(), thread_seconds(threading.get_native_id())
        realized: Chunk = self._engine.realize(chunk)
        after = thread_seconds(threading.get_native_id())[1]
        self.seconds.append((time.monotonic() - began, after - waited))
        return realized


def thread_seconds(number: int) -> tuple[float, float]:
    """Return how long a thread has run, and how long it waited for a core; zeros if unknown."""
    try:
        text = Path(f"/proc/self/task/{number}/schedstat").read_text()
    except OSError:  # another system, or a thread that has ended
        return 0.0, 0.0
    ran, waited, _ = map(int, text.split())
    return ran / 1e9, waited / 1e9


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def open_all(stack: ExitStack, folder: Path) -> list[BackgroundSink]:
    """Return every sink that opens here; `stack` closes them and their receivers."""
    rtmp = f"rtmp://127.0.0.1:{free_port()}/live/drive"
    receiver = subprocess.Popen([sys.executable, "-c", RECEIVER, rtmp], stderr=subprocess.DEVNULL)
    stack.callback(receiver.wait)
    stack.callback(receiver.kill)
    time.sleep(2.0)  # until it listens
    urls = (
        *(f"mcap:{folder}/a.mcap", f"rosbag:{folder}/bag", f"video:{folder}/a.mp4"),
        *(f"rerun:{folder}/a.rrd", f"foxglove:127.0.0.1:{free_port()}", rtmp),
        *(f"zmq://127.0.0.1:{free_port()}", f"shm:bench{os.getpid()}", "ros2:99"),
    )
    sinks = []
    for url in urls:
        try:
            sinks.append(stack.enter_context(rm.open_sink(url)))
        except RealMasterError as error:
            print(f"without {url}: {error}")
    return sinks


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="512x288")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--chunks", type=int, default=30)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--rate", type=float, help="frames a second, in place of --share")
    options = parser.parse_args()
    logging.getLogger("realmaster_live").setLevel(logging.ERROR)
    width, height = map(int, options.size.split("x"))
    frames = capture((width, height))
    count = 4 * options.chunks
    samples: dict[bool, list[float]] = {False: [], True: []}
    late: dict[bool, list[float]] = {False: [], True: []}
    realized: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with rm.load_engine(width=width, height=height, fps=20) as loaded:
        engine = Watched(loaded)
        alone = rm.run(Paced(frames, 0.0, 48), engine, [])
        rate = options.rate or options.share * alone.fps
        for number in range(2 * options.rounds):
            is_on = number % 2 == 1
            source, clock = Paced(frames, rate, count), Clock()
            engine.seconds.clear()
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                sinks = open_all(stack, Path(folder)) if is_on else []
                rm.run(source, engine, [*sinks, clock])
            samples[is_on] += clock.seconds[WARM:]
            realized[is_on] += engine.seconds[WARM:]
            late[is_on] += source.late_s[4 * WARM :]
            for one in sinks if number == 2 * options.rounds - 1 else ():
                ran_s = [each[f"rm-{one.name}"] for each in (clock.ran_s[WARM], clock.ran_s[-1])]
                ms = 250 * (ran_s[1] - ran_s[0]) / (len(clock.ran_s) - 1 - WARM)
                took_ms = one.figures.latency_ms.p50
                print(
                    f"  {one.figures}; {took_ms:.1f} ms a chunk, {ms:.1f} of the processor a frame"
                )
    host = describe_host()
    print(
        f"{host['cpu']}, {host['cores']} cores; {width}x{height}, {rate:.1f} frames/s "
        f"({alone.fps:.1f} alone), {len(samples[True])} chunks with sinks"
    )
    for title, values in (("capture to all sinks", samples), ("lateness of capture", late)):
        for name in (50, 99):
            off, on = (1e3 * np.percentile(values[one], name) for one in (False, True))
            print(f"{title}, p{name}: {off:.1f} ms without, {on:.1f} ms with, ratio {on / off:.2f}")
    for is_on, seconds in realized.items():
        slowest = sorted(seconds)[-max(1, len(seconds) // 100) :]
        took_ms, waited_ms = (1e3 * float(np.mean(each)) for each in zip(*slowest, strict=True))
        print(
            f"engine, slowest hundredth {'with' if is_on else 'without'} sinks: {took_ms:.1f} ms a "
            f"chunk, of which its thread waited {waited_ms:.1f} ms for a core"
        )


if __name__ == "__main__":
    main()
