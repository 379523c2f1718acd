"""The readers of docs/ways-out.md run as they are written, beside the sink that they read."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from driven_scene import SIZE, driven_chunk
from sink_drive import drive, run_info
from waiting import until

import realmaster_live as rm

PAGE = (Path(__file__).parent.parent.parent / "docs" / "ways-out.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def reader_of(url):
    """Return the block that says which URL it reads."""
    (block,) = [block for block in BLOCKS if f"# of {url}\n" in block]
    return block


def run(block, folder, **process):
    return subprocess.Popen(
        [sys.executable, "-c", block],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **process,
    )


def lines_of(process):
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out.splitlines()


def test_files_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for url in ("mcap:drive.mcap", "rosbag:bag"):
        chunks = drive(rm.open_sink(url), chunks=2)
        lines = lines_of(run(reader_of(url), tmp_path))
        assert lines[0].startswith(f"{chunks[0].timestamps[0]} /")
        assert len(lines) >= 8 * 4


@pytest.mark.skipif(sys.platform != "linux", reason="the reader opens /dev/shm")
def test_shared_memory_is_read(tmp_path):
    import os

    name = f"drive{os.getpid()}"
    block = reader_of("shm:drive").replace("/dev/shm/drive-front", f"/dev/shm/{name}-front")
    assert len(block.splitlines()) <= 12
    sink = rm.open_sink(f"shm:{name}")
    sink.begin(run_info("front"))
    for index in range(3):  # one after the other: what comes too fast is left out
        sink.write(driven_chunk(index))
        until(lambda: sink.figures.written == 4 * (index + 1))  # noqa: B023
    width, height = SIZE
    last = driven_chunk(2)
    lines = lines_of(run(block, tmp_path))
    assert lines == [f"{last.frame_ids[-1]} {last.timestamps[-1]} ({height}, {width}, 3)"]
    sink.close()
    assert not Path(f"/dev/shm/{name}-front").exists()


def test_zeromq_is_read(tmp_path):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = "zmq://127.0.0.1:5555"
    block = reader_of(url).replace("5555", str(port))
    sink = rm.open_sink(url.replace("5555", str(port)))
    sink.begin(run_info("front"))
    reader = run(block, tmp_path)
    index, deadline = 0, time.monotonic() + 60
    while reader.poll() is None and time.monotonic() < deadline:
        sink.write(driven_chunk(index))
        index += 1
        time.sleep(0.05)
    lines = lines_of(reader)
    sink.close()
    width, height = SIZE
    numbers = [int(line.split()[1]) for line in lines]
    assert len(lines) == 8 and numbers == sorted(set(numbers))
    assert all(
        line == f"front {n} ({height}, {width}, 3)" for line, n in zip(lines, numbers, strict=True)
    )
