"""Measures the proxy's own pass-through of images that it does not realize.

`python benchmarks/proxy.py` compares ways from a lean source to a lean client, in turn: directly,
through a plain TCP relay (`recv`, `sendall`), and through `realmaster proxy`, both as it is and on
a system whose kernel cannot move bytes from socket to socket (`os.splice`). The source answers the
few calls that a client makes, and then sends prepared images of a stream as fast as its socket
takes them. The client receives into one buffer and looks at each image's head. So neither draws nor
decodes anything, and the way's own work is what differs. Each program is a process of its own.

Beside other work each image waits for the scheduler several times, which says nothing about the
proxy: `chrt -r 1 python benchmarks/proxy.py` (as root) leaves that out.
"""

from __future__ import annotations

import argparse
import os
import socket
import struct
import threading
import time
from contextlib import ExitStack, suppress
from typing import NamedTuple

import numpy as np
from ways_in import RELAY, Started, started

from realmaster_live.bridges.carla.wire.rpc import (
    Decoder,
    Request,
    encode_answer,
    encode_request,
    result_of,
    value,
)
from realmaster_live.bridges.carla.wire.streams import (
    LENGTH,
    PIXELS_AT,
    Head,
    Token,
    bgra_of,
    image_buffer,
    read_head,
    stamp_image,
    unpack_token,
)

RGB = 13  # the sensor type of colour cameras
STREAM = 9
WITHOUT_SPLICE = (
    "import os, runpy; del os.splice; runpy.run_module('realmaster_live', run_name='__main__')"
)
IMAGES = 4  # prepared ones, sent in turn
BUFFER = 4 << 20  # bytes of the sockets' own buffers


def serve(width: int, height: int) -> None:
    """Be the source: answer calls on one port, send images on another."""
    calls, streams = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    port = streams.getsockname()[1]
    threading.Thread(target=_accept, args=(streams, _send, width, height), daemon=True).start()
    print(f"ready on 127.0.0.1:{calls.getsockname()[1]} (streams on {port}", flush=True)
    _accept(calls, _answer, port)


def _accept(listener: socket.socket, work: object, *arguments: int) -> None:
    while True:
        sock = listener.accept()[0]
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=work, args=(sock, *arguments), daemon=True).start()


def _answer(sock: socket.socket, port: int) -> None:
    actor = [5, 0, [7, "sensor.camera.rgb", []], [], b"", Token(STREAM, port).pack()]
    answers = {"version": value("0.9.16"), "spawn_actor": value(actor)}
    decoder = Decoder()
    with sock, suppress(OSError):
        while data := sock.recv(1 << 16):
            for request in decoder.feed(data):
                sock.sendall(encode_answer(request.id, answers[request.name]))


def _send(sock: socket.socket, width: int, height: int) -> None:
    random = np.random.default_rng(0)
    images = [image_buffer(width, height) for _ in range(IMAGES)]
    for image in images:
        bgra_of(image, width, height)[...] = random.integers(0, 256, (height, width, 4), np.uint8)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    with sock, suppress(OSError):
        sock.recv(4, socket.MSG_WAITALL)
        frame = 0
        while True:
            frame += 1
            image = images[frame % IMAGES]
            stamp_image(image, Head(RGB, frame, frame / 20, (0.0,) * 6), width, height, 90.0)
            sock.sendall(image)


class Found(NamedTuple):
    """Images a second, and milliseconds of the processor for each, in source, way and client."""

    rate: float
    cpu_ms: tuple[float, float, float]


def receive(source: Started, way: Started, size: tuple[int, int], seconds: float) -> Found:
    """Take the stream's images for so long, and check that none is missing."""
    with socket.create_connection((way.host, way.port), 10.0) as calls:
        calls.sendall(encode_request(Request(1, "spawn_actor", False, [])))
        answer = result_of(calls.recv(1 << 16))
        token = unpack_token(answer[0][1][5])
        # A plain relay leaves the token as it is: its own port for streams has the same number.
        with socket.create_connection((way.host, token.port), 10.0) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            sock.sendall(struct.pack("<I", token.stream))
            return _timed(sock, source, way, size, seconds)


def _timed(
    sock: socket.socket, source: Started, way: Started, size: tuple[int, int], seconds: float
) -> Found:
    image = memoryview(bytearray(PIXELS_AT + size[0] * size[1] * 4))
    last = images = 0
    began, before = time.perf_counter(), (0.0, 0.0, 0.0)
    while time.perf_counter() - began < seconds or images < 20:
        left = image
        while left:
            left = left[sock.recv_into(left, len(left), socket.MSG_WAITALL) :]
        (length,), head = LENGTH.unpack_from(image), read_head(image)
        if length != len(image) - LENGTH.size or (last and head.frame != last + 1):
            raise SystemExit("an image is missing or torn: this is a bug")
        last, images = head.frame, images + 1
        if images == 10:  # what was under way before does not count
            began, before = time.perf_counter(), _spent(source, way)
    passed, images = time.perf_counter() - began, images - 10
    spent = np.subtract(_spent(source, way), before)
    return Found(images / passed, tuple(1e3 * spent / images))


def _spent(source: Started, way: Started) -> tuple[float, float, float]:
    return source.cpu_s, way.cpu_s, time.process_time()


def main() -> None:
    """Print the rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each way")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    if options.serve:
        serve(width, height)
        return
    with ExitStack() as stack:
        source = stack.enter_context(started(__file__, "--serve", "--size", options.size))
        relay = started("-c", RELAY, str(source.port), str(source.streams))
        upstream = ("--upstream", f"127.0.0.1:{source.port}", "--engine", "identity")
        command = ("proxy", *upstream, "--role", "nobody", "--port", "0")
        ways = {
            "direct": source,
            "plain relay": stack.enter_context(relay),
            "proxy": stack.enter_context(started("-m", "realmaster_live", *command)),
            "proxy, copied": stack.enter_context(started("-c", WITHOUT_SPLICE, *command)),
        }
        found: dict[str, list[Found]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                found[name].append(receive(source, way, (width, height), options.seconds))
    load = os.getloadavg()[0]
    print(f"{options.size} BGRA, {options.rounds} rounds in turn, {os.cpu_count()} cores", end="")
    print(f", load {load:.1f}; medians, and the best round")
    print(f"{'':13s} images/s   best  of direct   ms of CPU an image: source, way, client")
    for name, each in found.items():
        rates = np.array([one.rate for one in each])
        ratio = np.median(rates / [one.rate for one in found["direct"]])
        cpu = np.median([one.cpu_ms for one in each], 0)
        print(
            f"{name:13s} {np.median(rates):8.0f} {rates.max():6.0f} {ratio:10.2f}   "
            f"{cpu[0]:.2f}, {'-' if name == 'direct' else format(cpu[1], '.2f')}, {cpu[2]:.2f}"
        )


if __name__ == "__main__":
    main()
