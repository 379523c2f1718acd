"""The largest of some sizes at which an engine leaves this machine room for the town beside it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.protocols import Engine

SIZES = ((512, 288), (384, 224), (256, 160))  # width, height
# the engine alone to the whole chain on two cores, where the town draws and labels beside it
HEADROOM = 2.2
CHUNKS = 4  # the first warms up, the fastest of the others counts
Size = tuple[int, int]


def live_engine(load: Callable[[Size], Engine], rate: float) -> tuple[Engine, dict[Size, float]]:
    """Return an engine of the largest size that keeps up with `rate`, or of the smallest one.

    Args:
        load: returns the engine of a size.
        rate: frames a second.

    Returns:
        The engine, and the frames a second of every size that was tried, its own last.
    """
    measured: dict[Size, float] = {}
    for size in SIZES:
        engine = load(size)
        try:
            measured[size] = frames_a_second(engine)
        except BaseException:
            engine.close()
            raise
        if measured[size] >= HEADROOM * rate or size == SIZES[-1]:
            break
        engine.close()
    return engine, measured


def frames_a_second(engine: Engine) -> float:
    """Return how fast an engine realizes grey frames, whose content makes no difference."""
    spec, start = engine.spec, 0
    speeds: list[float] = []
    for index in range(CHUNKS):
        count = spec.frames if index else spec.first_frames
        chunk = _grey(spec, index, start, count)
        began = time.perf_counter()
        engine.realize(chunk)
        speeds.append(count / (time.perf_counter() - began))
        start += count
    engine.reset()
    return max(speeds[1:])


def _grey(spec: ChunkSpec, index: int, first: int, count: int) -> Chunk:
    numbers = np.arange(first, first + count)
    return Chunk(
        index=index,
        camera="grey",
        frames=np.full((count, spec.height, spec.width, 3), 128, np.uint8),
        frame_ids=numbers,
        timestamps=numbers / spec.fps,
        captured_at=np.zeros(count),
        intrinsics=np.eye(3),
        cam_to_world=np.tile(np.eye(4), (count, 1, 1)),
    )
