"""Measures whether sinks slow the live loop: its latencies with all of them on against none.

Run `python benchmarks/sinks.py [--size WxH] [--rounds N] [--chunks N] [--share X | --rate X]`.

Frames of the embedded town, captured before, are played at a share of the rate that the shipped
model can sustain alone, or at a given one, as a simulator would that leaves the machine some room.
Rounds without and with sinks alternate in one process. A sample is the time from the end of a
chunk's capture until the loop has handed it to all sinks: the wait for the engine, the engine, and
the handing over. The second row is how late the capture thread itself comes to take a frame.

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
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from recording import capture

import realmaster_live as rm
from realmaster_live.errors import RealMasterError
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.sinks import BackgroundSink
from realmaster_live.system.host import describe_host

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
    """The last sink: it notes when the loop has handed a chunk to all others."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def write(self, chunk: Chunk) -> None:
        """Note how long ago the chunk's capture ended."""
        self.seconds.append(time.monotonic() - float(chunk.captured_at[-1]))

    def close(self) -> None:
        """Do nothing."""


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
    with rm.load_engine(width=width, height=height, fps=20) as engine:
        alone = rm.run(Paced(frames, 0.0, 48), engine, [])
        rate = options.rate or options.share * alone.fps
        for number in range(2 * options.rounds):
            is_on = number % 2 == 1
            source, clock = Paced(frames, rate, count), Clock()
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                sinks = open_all(stack, Path(folder)) if is_on else []
                rm.run(source, engine, [*sinks, clock])
            samples[is_on] += clock.seconds[2:]  # the first ones warm up
            late[is_on] += source.late_s[8:]
            for one in sinks if number == 2 * options.rounds - 1 else ():
                print(f"  {one.figures}; {one.figures.latency_ms.p50:.1f} ms a chunk")
    host = describe_host()
    print(
        f"{host['cpu']}, {host['cores']} cores; {width}x{height}, {rate:.1f} frames/s "
        f"({alone.fps:.1f} alone), {len(samples[True])} chunks with sinks"
    )
    for title, values in (("capture to all sinks", samples), ("lateness of capture", late)):
        for name in (50, 99):
            off, on = (1e3 * np.percentile(values[one], name) for one in (False, True))
            print(f"{title}, p{name}: {off:.1f} ms without, {on:.1f} ms with, ratio {on / off:.2f}")


if __name__ == "__main__":
    main()
