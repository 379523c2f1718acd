"""The ring in shared memory: whole frames only, and names that are in use or left over."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest
from driven_scene import SIZE, driven_chunk, intrinsics
from sink_drive import drive, run_info

import realmaster_live as rm
from realmaster_live.errors import ConfigError
from realmaster_live.sinks.shared_memory import HEADER, MAGIC, SLOT, SLOTS

NAME = f"rmtest{os.getpid()}"
LEFT = """
import os, signal, sys
from multiprocessing import resource_tracker
from sink_drive import run_info
import realmaster_live as rm
rm.open_sink(f"shm:{sys.argv[1]}").sink.begin(run_info("front"))
resource_tracker.unregister(f"/{sys.argv[1]}-front", "shared_memory")  # a tracker that dies too
os.kill(os.getpid(), signal.SIGKILL)
"""


def parts():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


class Reader:
    """Reads as docs/ways-out.md says."""

    def __init__(self, name):
        self.memory = SharedMemory(name)
        header = np.frombuffer(self.memory.buf, HEADER, 1)[0]
        assert header["magic"] == MAGIC and header["pid"] == os.getpid()
        self.size = int(header["width"]), int(header["height"])
        self.step, self.slots = int(header["slot_bytes"]), int(header["slots"])

    def written(self):
        return int(np.frombuffer(self.memory.buf, HEADER, 1)["written"][0])

    def slot(self, number):
        """Return facts and a copy of the pixels, or None where they were written meanwhile."""
        width, height = self.size
        at = HEADER.itemsize + number % self.slots * self.step
        facts = np.frombuffer(self.memory.buf, SLOT, 1, at)
        before = int(facts["sequence"][0])
        pixels = np.frombuffer(self.memory.buf, np.uint8, 3 * width * height, at + SLOT.itemsize)
        copy, known = pixels.reshape(height, width, 3).copy(), facts[0].copy()
        return (known, copy) if before % 2 == 0 and before == facts["sequence"][0] else None

    def close(self):
        self.memory.close()


def test_every_frame_can_be_read():
    sink = rm.open_sink(f"shm:{NAME}").sink
    sink.begin(run_info("front", "left"))
    reader = Reader(f"{NAME}-front")
    chunk = driven_chunk(0)
    sink.write(chunk)
    sink.write(driven_chunk(0, "front_left"))  # a camera that the source did not name
    assert reader.size == SIZE and reader.written() == 4
    for row in range(4):
        facts, picture = reader.slot(row)
        np.testing.assert_array_equal(picture, chunk.frames[row])
        assert (facts["frame_id"], facts["timestamp"]) == (1000 + row, chunk.timestamps[row])
        np.testing.assert_array_equal(facts["K"], intrinsics())
        np.testing.assert_array_equal(facts["cam_to_world"], chunk.cam_to_world[row])
    reader.close()
    sink.close()
    sink.close()
    for camera in ("front", "left", "front_left"):
        with pytest.raises(FileNotFoundError):
            SharedMemory(f"{NAME}-{camera}")


def test_a_reader_never_takes_half_a_frame_for_a_whole_one():
    chunk = driven_chunk(0)
    plain = [chunk.with_frames(np.broadcast_to(np.uint8(n), chunk.frames.shape)) for n in range(50)]
    enough, written = threading.Event(), 0

    def write():
        nonlocal written
        while not enough.is_set():
            sink.write(plain[written % len(plain)])
            written += 1

    with contextlib.closing(rm.open_sink(f"shm:{NAME}").sink) as sink:
        sink.begin(run_info("front"))
        with contextlib.closing(Reader(f"{NAME}-front")) as reader:
            writer = threading.Thread(target=write)
            writer.start()
            spreads, seen = set(), 0
            while seen < 20:
                found = reader.slot(reader.written() - 1)
                if found is not None:
                    seen += 1
                    spreads.add(int(found[1].max()) - int(found[1].min()))
            enough.set()
            writer.join()
            assert spreads == {0}
            assert reader.written() == 4 * written and reader.slots == SLOTS


def test_a_name_in_use_is_one_sentence_and_stays():
    drive_name = f"shm:{NAME}"
    first = rm.open_sink(drive_name).sink
    first.begin(run_info("front"))
    with pytest.raises(ConfigError, match=f"no shared memory of the name {NAME}-front"):
        drive(rm.open_sink(drive_name))
    Reader(f"{NAME}-front").close()
    first.close()


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is left over there")
def test_what_a_killed_process_left_is_replaced():
    done = subprocess.run([sys.executable, "-c", LEFT, NAME], env=parts(), capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert Path(f"/dev/shm/{NAME}-front").exists() or sys.platform != "linux"
    sink = rm.open_sink(f"shm:{NAME}")
    assert len(drive(sink)) == 5 and not sink.figures.error
