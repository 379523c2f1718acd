"""A drawn street with labels: what tests of recordings and sinks write down."""

import functools
import time

import numpy as np

from realmaster_live import Chunk

SIZE = (96, 64)  # width, height


@functools.lru_cache(maxsize=256)
def street(number, size=SIZE):
    """Picture and labels of one frame: a road, a sky, and a car that drives to the right.

    Drawn once: the arrays are read-only.
    """
    width, height = size
    rows, columns = np.mgrid[0:height, 0:width]
    horizon = height // 2
    image = np.empty((height, width, 3), np.uint8)
    image[:horizon] = (120, 160, 220)
    image[horizon:] = (90, 90, 95)
    depth = np.where(rows > horizon, 1.6 * width / np.maximum(rows - horizon, 1), 1000.0)
    semantic = np.where(rows > horizon, 1, 11).astype(np.uint8)
    left = number * 2 % (width - 20)
    car = (columns >= left) & (columns < left + 20) & (abs(rows - horizon - 8) < 6)
    image[car] = (200, 20, 30)
    depth[car] = 12.5 + 0.01 * columns[car]
    semantic[car] = 14
    labels = {
        "depth": depth.astype(np.float32),
        "semantic": semantic,
        "instance": np.where(car, 14 << 16 | 4711, 0).astype(np.int32),
        "flow": np.where(car[..., None], [2.0, -0.3], 0.0).astype(np.float32),
    }
    for array in (image, *labels.values()):
        array.setflags(write=False)
    return image, labels


def make_chunk(index, *, frames=4, labels=("depth", "semantic", "instance", "flow"), size=SIZE):
    numbers = np.arange(index * frames, (index + 1) * frames)
    pictures = [street(int(number), size) for number in numbers]
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 3] = numbers / 10
    rendered = np.stack([image for image, _ in pictures])
    chunk = Chunk(
        index=index,
        camera="front",
        frames=rendered,
        frame_ids=numbers + 1000,
        timestamps=numbers / 20,
        captured_at=np.full(frames, time.monotonic()),
        intrinsics=np.array([[57.2, 0, 48], [0, 57.2, 32], [0, 0, 1]]),
        cam_to_world=poses,
        labels={name: np.stack([values[name] for _, values in pictures]) for name in labels},
    )
    return chunk.with_frames(255 - rendered)
