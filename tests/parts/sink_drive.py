"""Chunks of a drive as a run hands them to sinks, and the description of such a run."""

import time
from dataclasses import replace

import numpy as np
from driven_scene import FPS, SIZE, driven_chunk
from waiting import until

from realmaster_live import ChunkSpec, SourceInfo
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.frames.source_info import ActorInfo, CameraInfo


class Source:
    """A source that is only described."""

    def __init__(self, *cameras):
        width, height = SIZE
        self.info = SourceInfo(
            simulator="carla",
            town="Town05",
            ego=ActorInfo(id=7, role_name="hero"),
            cameras={name: CameraInfo(width=width, height=height) for name in cameras},
        )


def run_info(*cameras):
    """Return the description of a run of these cameras."""
    spec = ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=FPS)
    return RunInfo(source=Source(*cameras or ("front",)), spec=spec)


def drive(sink, chunks=5, cameras=("front",), pause_s=0.0, trust=None):
    """Hand a sink a whole run, each moment when it has taken the one before; return its chunks."""
    written = []
    sink.begin(run_info(*cameras))
    try:
        for index in range(chunks):
            captured_at = time.monotonic() - 4 / FPS + np.arange(4) / FPS
            for camera in cameras:
                chunk = replace(driven_chunk(index, camera, trust=trust), captured_at=captured_at)
                sink.write(chunk)
                written.append(chunk)
            if hasattr(sink, "figures"):
                until(lambda: not sink.figures.waiting, "the sink takes nothing")
            time.sleep(pause_s)
    finally:
        sink.close()
    return written
