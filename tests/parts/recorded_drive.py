"""Records drives of two cameras in processes of their own, which die by SIGKILL where asked to.

    python recorded_drive.py

It reads FOLDER, POINT, CHUNKS and whether there are sensors from each line of standard input, a
JSON list, runs that in a fork of what it imported once, and prints the fork's exit status.
POINT: "never"; "chunk N" right after a chunk; "encoding" while one is encoded; "closing" between
the videos' end and the tables; "tables" after the first of them; "hashing" before segment.json;
"renaming" with segment.json written but not yet in place; "noting" before meta.json names it;
"repairing N" before the N-th file of a repair replaces its old one.
"""

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

from sensor_states import with_states
from street import make_chunk

from realmaster_live import ChunkSpec
from realmaster_live.recording import Recorder, files, open_segment, recorder, repair

SPEC = ChunkSpec(frames=4, height=64, width=96, fps=20)
CAMERAS = {"front": (96, 64), "rear": (64, 48)}
SEGMENT_S = 1.0  # five chunks
POINTS = ("encoding", "closing", "tables", "hashing", "renaming", "noting")


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def chunks_of(index: int, *, sensors: bool = False):
    """Yield one chunk of each camera at the same ticks."""
    for camera, size in CAMERAS.items():
        chunk = dataclasses.replace(make_chunk(index, size=size), camera=camera)
        yield with_states(chunk) if sensors else chunk


def record(folder: Path, chunks: int = 12, *, sensors: bool = False) -> Path:
    """Record both cameras in segments of a second."""
    with Recorder(folder, SPEC, segment_s=SEGMENT_S) as drive:
        for index in range(chunks):
            for chunk in chunks_of(index, sensors=sensors):
                drive.write(chunk)
    return folder


def arm(point: str) -> None:
    """Let the process die at a point of its first rotation."""
    if point == "closing":
        open_segment.OpenSegment.finish = die
    elif point == "tables":
        keep = open_segment.keep_table

        def keep_one(*arguments):
            keep(*arguments)
            die()

        open_segment.keep_table = keep_one
    elif point == "hashing":
        open_segment.stored_files = die
    elif point == "renaming":
        replace = Path.replace

        def rename(path, target):
            if Path(target).name == "segment.json":
                die()
            return replace(path, target)

        Path.replace = rename
    elif point == "noting":
        recorder.Recorder._mark_finished = die


def arm_repair(renames: int) -> None:
    """Let the process die before its n-th file is put in place."""
    replace, left = Path.replace, [renames]

    def rename(path, target):
        left[0] -= 1
        if left[0] == 0:
            die()
        return replace(path, target)

    Path.replace = rename


def main(folder: Path, point: str, chunks: int, sensors: bool) -> None:
    if point.startswith("repairing"):
        arm_repair(int(point.split()[1]))
        repair(folder)
        return
    arm(point)
    with Recorder(folder, SPEC, segment_s=SEGMENT_S) as drive:
        for index in range(chunks):
            for chunk in chunks_of(index, sensors=sensors):
                if point == "encoding" and index == 7 and chunk.camera == "rear":
                    open_segment.frame_rows = die  # its pictures are encoded, its rows are not
                drive.write(chunk)
            if point == f"chunk {index}":
                die()


def serve() -> None:
    """Run what standard input asks for until it ends."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            folder, *asked = json.loads(line)
            main(Path(folder), *asked)
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    assert files.PART  # what a kill may leave behind
    serve()
