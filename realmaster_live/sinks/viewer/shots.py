"""What the view shows at once: the shots of a tick, out of chunks that come camera by camera."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.objects import SceneObject


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shot:
    """One frame of a chunk: its pictures and labels, without copying them."""

    chunk: Chunk
    row: int

    @property
    def realized(self) -> NDArray[np.uint8]:
        """The realized picture, (H, W, 3) sRGB."""
        return np.asarray(self.chunk.frames[self.row])

    @property
    def rendered(self) -> NDArray[np.uint8]:
        """What the simulator drew, (H, W, 3) sRGB; the realized picture where there is no other."""
        pictures = self.chunk.frames if self.chunk.rendered is None else self.chunk.rendered
        return np.asarray(pictures[self.row])

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        height, width = self.realized.shape[:2]
        return width, height

    @property
    def frame_id(self) -> int:
        """The simulator's own frame number."""
        return int(self.chunk.frame_ids[self.row])

    @property
    def captured_at(self) -> float:
        """Host monotonic clock at arrival, seconds."""
        return float(self.chunk.captured_at[self.row])

    @property
    def labels(self) -> Mapping[str, NDArray[np.generic]]:
        """The label pictures by name."""
        return {name: label[self.row] for name, label in self.chunk.labels.items()}

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        """What stands and moves around the camera; empty where the source knows none."""
        return self.chunk.objects[self.row] if self.chunk.objects else ()


TickShots = Mapping[str, Shot]  # by camera: the frames of one tick


class Gathering:
    """Puts the chunks of all cameras at the same ticks together again.

    A tick is over once every known camera has given its chunk, or when a chunk of another tick
    comes. What waits for the others is one chunk a camera.
    """

    def __init__(self) -> None:
        self.cameras: dict[str, None] = {}  # in the order in which they are shown
        self._tick: dict[str, Chunk] = {}

    def expect(self, cameras: Iterable[str]) -> None:
        """Set which cameras a tick has; others that come are added."""
        self.cameras = dict.fromkeys(cameras)
        self._tick = {}

    def add(self, chunk: Chunk) -> list[TickShots]:
        """Return the ticks that are complete with this chunk, the earliest first."""
        done: list[TickShots] = []
        if any(
            other.camera == chunk.camera or other.frame_ids[0] != chunk.frame_ids[0]
            for other in self._tick.values()
        ):
            done = self._finish()
        self.cameras.setdefault(chunk.camera)
        self._tick[chunk.camera] = chunk
        if self._tick.keys() >= self.cameras.keys():
            done += self._finish()
        return done

    def _finish(self) -> list[TickShots]:
        tick, self._tick = self._tick, {}
        length = max(len(chunk) for chunk in tick.values())
        return [
            {name: Shot(chunk=chunk, row=row) for name, chunk in tick.items() if row < len(chunk)}
            for row in range(length)
        ]
