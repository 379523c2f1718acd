"""Measures the rate of a game's frames through the bridge, and the delay that the relay adds.

`python benchmarks/gtav.py` sends 1920x1080 frames over TCP from a process of its own. They are
received, resized and queued by the bridge, then by a naive implementation, and then through a
relay. Run it alone on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import cv2
import numpy as np
import psutil

from realmaster_live.bridges.gtav.bridge import GtavBridge
from realmaster_live.bridges.gtav.link import Request
from realmaster_live.bridges.gtav.protocol.client import Address, connect
from realmaster_live.bridges.gtav.protocol.message_codec import encode_message
from realmaster_live.bridges.gtav.protocol.messages import DatasetOptions, Start
from realmaster_live.bridges.gtav.protocol.server import TcpServer
from realmaster_live.bridges.gtav.protocol.stamp import read_stamp
from realmaster_live.bridges.gtav.relay.relay import Relay

GAME, SMALL = (1920, 1080), (512, 288)
LOCAL = Address(scheme="deepgtav+tcp", host="127.0.0.1", port=0)
PICTURES = 4  # different frames, so that none is dropped as stale
WARM_S = 2.0


def serve_game(ready: Connection, rate: float) -> None:
    """Send frames like the game, `rate` per second, or with 0 as fast as they are received."""
    rng = np.random.default_rng(0)
    blurred = [
        cv2.GaussianBlur(rng.integers(0, 256, (*GAME[::-1], 3), np.uint8), (0, 0), 2.0)
        for _ in range(PICTURES)
    ]
    bodies = [picture.reshape(-1).data for picture in blurred]
    server = TcpServer(LOCAL)
    ready.send(server.port)
    due, number, wanted = time.monotonic(), 0, False
    while True:
        for body in server.receive(0.0 if wanted else 0.1):
            wanted = b'"start"' in body
        wanted = wanted and server.connected
        if not wanted:
            due = time.monotonic()
            continue
        server.send(bodies[number % PICTURES], json.dumps({"speed": 1.0}).encode())
        number += 1
        due += 1.0 / rate if rate else 0.0
        time.sleep(max(0.0, due - time.monotonic()))


def serve_relay(ready: Connection, game: int) -> None:
    """Relay the game at a port, with one core for pictures as in `realmaster gta-relay`."""
    cv2.setNumThreads(1)
    with Relay(_url(game), LOCAL, request=Request(game_size=GAME, rate=1000.0)) as relay:
        ready.send(relay.port)
        relay.run()


@contextmanager
def process(work: Callable[..., None], *arguments: float) -> Iterator[int]:
    """Run a server in a process of its own, and yield its port."""
    fresh = multiprocessing.get_context("spawn")  # OpenCV's threads do not survive a fork
    own_end, server_end = fresh.Pipe()
    server = fresh.Process(target=work, args=(server_end, *arguments), daemon=True)
    server.start()
    try:
        yield own_end.recv()
    finally:
        server.terminate()
        server.join()


def by_bridge(port: int, seconds: float) -> tuple[float, float]:
    """Return frames per second through the bridge, and the growth of the process in MiB."""
    with GtavBridge(
        _url(port), width=SMALL[0], height=SMALL[1], fps=240.0, rate=1000.0, game_size=GAME
    ) as bridge:
        began, start, grown_from = time.monotonic(), None, 0
        for _ in bridge.frames():
            now = time.monotonic()
            if start is None and now - began > WARM_S:
                start, received = now, bridge.counts["received"]
                grown_from = psutil.Process().memory_info().rss
            if start is not None and now - start > seconds:
                break
        assert start is not None
        rate = (bridge.counts["received"] - received) / (now - start)
        return rate, (psutil.Process().memory_info().rss - grown_from) / 2**20


def naive_rate(port: int, seconds: float) -> float:
    """Return frames per second of a naive receiver that joins, copies, swaps and resizes."""
    with socket.create_connection(("127.0.0.1", port)) as peer:
        body = encode_message(Start(dataset=DatasetOptions(rate=1000.0, frame=GAME)))
        peer.sendall(struct.pack("<i", len(body)) + body)

        def message() -> bytes:
            (left,) = struct.unpack("<i", peer.recv(4, socket.MSG_WAITALL))
            parts = b""
            while len(parts) < left:
                parts += peer.recv(min(65536, left - len(parts)))
            return parts

        count, start = 0, time.monotonic()
        while time.monotonic() - start < seconds:
            bgr = np.frombuffer(message(), np.uint8).reshape(*GAME[::-1], 3)
            json.loads(message())
            rgb = np.ascontiguousarray(bgr[..., ::-1])
            cv2.resize(rgb, SMALL, interpolation=cv2.INTER_AREA)
            count += 1
        return count / (time.monotonic() - start)


def added_by_relay(port: int, seconds: float) -> tuple[float, float, float]:
    """Return median and 95th percentile of the relay's delay in ms, and frames per second."""
    stream = connect(Address(scheme=LOCAL.scheme, host=LOCAL.host, port=port), *SMALL)
    stream.send(Start(dataset=DatasetOptions(rate=1000.0, frame=SMALL)))
    added, began = [], time.monotonic()
    while (now := time.monotonic()) - began < WARM_S + seconds:
        frame = stream.receive(5.0)
        arrived_at = time.monotonic()
        stamp = read_stamp(frame.fields)
        if stamp is not None and now - began > WARM_S:
            added.append(1e3 * (arrived_at - stamp.time_s))
    stream.close()
    p50, p95 = np.percentile(added, (50, 95))
    return float(p50), float(p95), len(added) / seconds


def _url(port: int) -> str:
    return f"{LOCAL.scheme}://{LOCAL.host}:{port}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement")
    parser.add_argument("--relay-fps", type=float, default=30.0, help="rate of the relayed game")
    options = parser.parse_args()
    cores = psutil.cpu_count()
    print(f"{cores} cores of {platform.machine()}, Python {platform.python_version()}")
    print(f"{GAME[0]}x{GAME[1]} over TCP on this machine, to {SMALL[0]}x{SMALL[1]}")
    with process(serve_game, 0.0) as port:
        fast, grown_mib = by_bridge(port, options.seconds)
    with process(serve_game, 0.0) as port:
        plain = naive_rate(port, options.seconds)
    print(f"the bridge     {fast:6.1f} frames/s, grew {grown_mib:.1f} MiB in {options.seconds:g} s")
    print(f"naive          {plain:6.1f} frames/s: the bridge is {fast / plain:.1f} times as fast")
    with process(serve_game, options.relay_fps) as game, process(serve_relay, game) as port:
        p50, p95, rate = added_by_relay(port, options.seconds)
    print(f"the relay      {rate:6.1f} frames/s, adds {p50:.1f} ms (median), {p95:.1f} ms (p95)")


if __name__ == "__main__":
    main()
