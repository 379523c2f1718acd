"""Small engines and pictures for feeds."""

import threading

import numpy as np
import pytest

from realmaster_live.feeds.feed import Arrival
from realmaster_live.frames.chunk import Chunk, ChunkSpec

WIDTH, HEIGHT = 16, 8


class Negative:
    """Inverts pictures, and waits at a gate; remembers the chunks it got."""

    def __init__(self, *, first: int = 2, frames: int = 2, size=(WIDTH, HEIGHT)) -> None:
        self.spec = ChunkSpec(
            frames=frames, first_frames=first, width=size[0], height=size[1], fps=20.0
        )
        self.chunks: list[Chunk] = []
        self.resets = 0
        self.closed = False
        self.gate = threading.Event()
        self.gate.set()

    def realize(self, chunk: Chunk) -> Chunk:
        assert self.gate.wait(60)
        self.chunks.append(chunk)
        return chunk.with_frames(255 - chunk.frames)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True


class Listener:
    """What was delivered: (payload, value of a pixel's blue or None)."""

    def __init__(self) -> None:
        self.got: list[tuple[int, int | None]] = []
        self.alphas: set[int] = set()
        self.changed = threading.Condition()

    def __call__(self, payload, pixels) -> None:
        with self.changed:
            value = None if pixels is None else int(pixels[0, 0, 0])
            if pixels is not None:
                self.alphas.add(int(pixels[..., 3].min()))
            self.got.append((payload, value))
            self.changed.notify_all()

    def wait(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.got) >= count, 60.0), self.got


def arrival(number: int, *, size=(WIDTH, HEIGHT)) -> Arrival:
    """A picture whose every colour is its number."""
    pixels = np.full((size[1], size[0], 4), number, np.uint8)
    return Arrival(
        payload=number,
        pixels=pixels,
        frame_id=number,
        timestamp=number / 20,
        fov_deg=90.0,
        cam_to_world=np.eye(4),
    )


@pytest.fixture
def negative():
    return Negative


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def arrive():
    return arrival
