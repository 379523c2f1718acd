"""A rig that records for long beside viewers: memory, files and threads stay as they were."""

import http.client
import itertools
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

pytestmark = pytest.mark.carla
RIG = "".join(
    f'[[camera]]\nname = "{name}"\nwidth = 96\nheight = 64\nyaw_deg = {yaw}\nlabels = ["depth"]\n'
    for name, yaw in (("front", 0), ("back", 180))
)
WARM_UP = 0.3  # share of the time in which caches fill
MEMORY_MB = 48.0  # by which the second half may exceed what the warm-up ended with


class Usage(NamedTuple):
    """What a process holds: resident megabytes, open files, threads."""

    memory_mb: float
    files: int
    threads: int


def usage_of(process: subprocess.Popen) -> Usage:
    status = Path(f"/proc/{process.pid}/status").read_text()
    memory, threads = (
        int(re.search(rf"{key}:\s+(\d+)", status)[1]) for key in ("VmRSS", "Threads")
    )
    return Usage(memory / 1024, len(list(Path(f"/proc/{process.pid}/fd").iterdir())), threads)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def watch(port: int, done: threading.Event, stay_s: float, received: list[int]) -> None:
    """Look at the live page's pictures, `stay_s` seconds at a time."""
    while not done.is_set():
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as viewer:
                viewer.request("GET", "/live.mjpg")
                stream, until = viewer.getresponse(), time.monotonic() + stay_s
                while time.monotonic() < until and not done.is_set():
                    got = stream.read1(65536)
                    received.append(len(got))
                    if not got:
                        break
        except (OSError, http.client.HTTPException):
            done.wait(0.2)  # the page is not there yet, or no more


@pytest.mark.parametrize(
    "minutes",
    [
        pytest.param(1.0, marks=pytest.mark.slow),
        pytest.param(30.0, marks=pytest.mark.soak),
    ],
)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_rig_beside_viewers_takes_no_more_with_time(running, minutes, tmp_path):
    (tmp_path / "rig.toml").write_text(RIG)
    page, done, received = free_port(), threading.Event(), []
    command = [
        *(sys.executable, "-m", "realmaster_live", "record", str(tmp_path / "drive")),
        *("--rig", str(tmp_path / "rig.toml"), "--engine", "identity", "--segment-s", "10"),
        *("--view", "--view-port", str(page)),
    ]
    viewers = [
        threading.Thread(target=watch, args=(page, done, stay_s, received))
        for stay_s in (1e9, 1e9, 2.0)
    ]
    said = tmp_path / "said.txt"
    with (
        said.open("wb") as told,
        running("--no-raster", "--vehicles", "8", "--walkers", "4") as town,
    ):
        recorder = subprocess.Popen(
            [*command, "--port", str(town.port)], stdout=told, stderr=subprocess.STDOUT
        )
        try:
            for viewer in viewers:
                viewer.start()
            history = []
            end = time.monotonic() + minutes * 60.0
            for _ in itertools.count():
                done.wait(minutes)  # sixty times
                assert recorder.poll() is None, said.read_text()[-2000:]
                history.append([usage_of(recorder), usage_of(town.process)])
                if time.monotonic() > end:
                    break
            recorder.send_signal(signal.SIGINT)
            assert recorder.wait(60) == 130, said.read_text()[-2000:]
        finally:
            done.set()
            recorder.kill()
            for viewer in viewers:
                viewer.join(60)
    assert sum(received) > 1e5 * minutes
    figures = np.array(history)  # (times, processes, 3)
    warm = int(WARM_UP * len(figures))
    early, late = figures[warm - 3 : warm + 3].max(axis=0), figures[-len(figures) // 2 :]
    print("warm", early.tolist(), "highest afterwards", late.max(axis=0).tolist())
    assert (late[..., 0].max(axis=0) - early[:, 0] < MEMORY_MB).all()
    assert (np.median(late[..., 1], axis=0) <= early[:, 1] + 2).all()
    assert (np.median(late[..., 2], axis=0) <= early[:, 2] + 2).all()
    assert len(list((tmp_path / "drive" / "segments").iterdir())) >= minutes
