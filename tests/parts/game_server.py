"""`realmaster gta-standin`, with a recording whose every value is known: a process or a thread."""

import itertools
import json
import os
import queue
import re
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np

from realmaster_live.bridges.gtav.camera import cam_to_world, intrinsics_from_vertical_fov
from realmaster_live.bridges.gtav.protocol.client import Address
from realmaster_live.bridges.gtav.protocol.framing import framed, image_body
from realmaster_live.bridges.gtav.protocol.message_codec import decode_message
from realmaster_live.bridges.gtav.protocol.server import TcpServer
from realmaster_live.cli.command import parse
from realmaster_live.cli.gta_standin import serve
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.recording import Recorder

WIDTH, HEIGHT = 65, 36  # rows of 195 bytes, padded to 196
SCHEMES = ("deepgtav+tcp", "deepgtav+zmq")
OWN_SIZE = {"width": WIDTH, "height": HEIGHT, "game_size": (WIDTH, HEIGHT), "near_m": 0.15}
STEP_M = 0.25  # the camera's way from one frame to the next
DEPTH = np.linspace(2.0, 900.0, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
SEMANTIC = np.where(DEPTH < 100, 12, 11).astype(np.uint8)  # a pedestrian before the sky


def encode_pair(image, fields):
    """Return both messages of a frame with their lengths, as a game sends them over TCP."""
    return framed(image_body(image)) + framed(json.dumps(fields).encode())


def picture(number):
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def pose(number):
    return cam_to_world([STEP_M * number, -3.0, 30.0], [1.0, 2.0, 40.0])


def number_of(frame):
    """Return which frame of the recording this is."""
    return round(frame.cam_to_world[0, 3] / STEP_M)


def take(bridge, count):
    """Return a bridge's next frames."""
    return list(itertools.islice(bridge.frames(), count))


def record_drive(folder, frames):
    """Record so many frames."""
    spec = ChunkSpec(frames=4, width=WIDTH, height=HEIGHT, fps=20.0)
    with Recorder(folder, spec, lossless=True) as recorder:
        for index in range(frames // 4):
            numbers = range(4 * index, 4 * index + 4)
            pictures = np.stack([picture(number) for number in numbers])
            chunk = Chunk(
                index=index,
                camera="front",
                frames=pictures,
                frame_ids=np.array(numbers, np.int64),
                timestamps=np.array(numbers) / 20.0,
                captured_at=np.array(numbers) / 20.0,
                intrinsics=intrinsics_from_vertical_fov(WIDTH, HEIGHT, 59.0),
                cam_to_world=np.stack([pose(number) for number in numbers]),
                labels={"depth": np.stack([DEPTH] * 4), "semantic": np.stack([SEMANTIC] * 4)},
            )
            recorder.write(chunk.with_frames(pictures))
    return folder


@contextmanager
def verb(*arguments):
    """Run a verb that says where it is ready; yields its port and the process."""
    command = [sys.executable, "-m", "realmaster_live", *map(str, arguments)]
    if arguments[0] == "gta-standin":  # a relay ends with its game
        command += ["--exit-with-parent", str(os.getpid())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        found = re.search(r"ready on [\d.]+:(\d+)", process.stdout.readline())
        assert found is not None
        yield int(found[1]), process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def game(scheme, recording, *arguments):
    """Serve a recording in the game's place, on a thread of this process; yields the URL."""
    _, options = parse(
        ["gta-standin", f"{scheme}://127.0.0.1:0", str(recording), *map(str, arguments)]
    )
    places, over = queue.Queue(), threading.Event()
    thread = threading.Thread(target=serve, args=(options, places.put, over.is_set), name="standin")
    thread.start()
    try:
        yield f"{scheme}://{places.get(timeout=30)}"
    finally:
        over.set()
        thread.join(60)
        assert not thread.is_alive()


@contextmanager
def scripted(script):
    """Run `script(server)` on a thread; yields the URL and a list of the messages it received."""
    server, received, over = (
        TcpServer(Address.parse("deepgtav+tcp://127.0.0.1:0")),
        [],
        threading.Event(),
    )

    def work():
        while not over.is_set():
            received.extend(decode_message(body) for body in server.receive(0.01))
            script(server, received)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield f"deepgtav+tcp://127.0.0.1:{server.port}", received
    finally:
        over.set()
        thread.join()
        server.close()


def still(server, number, fields=None):
    """Send one small frame."""
    if server.connected:
        rng = np.random.default_rng(number)
        image = rng.integers(0, 256, (8, 12, 3), np.uint8)
        server.write(encode_pair(image, {"index": number, **(fields or {})}))
