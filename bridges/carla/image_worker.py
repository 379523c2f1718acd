"""The thread behind a drop-in camera: images in, chunks through the engine, the same images out."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from realmaster_live.bridges.carla.geometry import cam_to_world
from realmaster_live.bridges.carla.images import overwrite, rgb
from realmaster_live.bridges.frame_join import StepCounter
from realmaster_live.errors import FrameTimeout
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.frames.geometry import pinhole
from realmaster_live.protocols import Engine

log = logging.getLogger(__name__)

WAITING_CHUNKS = 3  # of images that may wait for the engine; then the oldest image is dropped
FLUSH_TIMEOUT_S = 60.0

Callback = Callable[[Any], None]
_Arrived = tuple[Any, float]  # carla.Image, host monotonic seconds


@dataclass
class _Group:
    """Images of one chunk: those that arrived, its full size, and how many were lost before it."""

    lost: int
    size: int
    arrived: list[_Arrived] = field(default_factory=list)


class ImageWorker:
    """Realizes a camera's images on a thread of its own: bounded, in order, chunk by chunk.

    The queue drops the oldest and counts in `dropped`; `error` is what ended the thread.

    It groups images itself where the live loop has `live.chunker`: a drop-in camera owes its
    listener every image, so a group that a gap or the end cuts short is filled up and realized,
    which the chunker throws away and counts; and it keeps the images, which are written into.
    """

    def __init__(self, name: str, engine: Engine, callback: Callback, *, every_tick: bool) -> None:
        self.dropped = 0
        self.error: BaseException | None = None
        self._name, self._engine, self._callback = name, engine, callback
        self._every_tick = every_tick
        spec = engine.spec
        self._capacity = WAITING_CHUNKS * max(spec.frames, spec.first_frames)
        self._waiting: deque[_Arrived] = deque()
        self._finishing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"realize-{name}", daemon=True)
        self._thread.start()

    def put(self, image: Any) -> None:
        """Keep an image; called on the client's threads, so nothing else happens here."""
        with self._changed:
            if self._finishing or self.error is not None:
                return
            self._waiting.append((image, time.monotonic()))
            if len(self._waiting) > self._capacity:
                self._waiting.popleft()
                self.dropped += 1
            self._changed.notify_all()

    def finish(self) -> None:
        """Realize and deliver what has arrived, and end; returns at once inside a callback."""
        with self._changed:
            self._finishing = True
            self._changed.notify_all()
        if threading.current_thread() is self._thread:
            return
        self._thread.join(FLUSH_TIMEOUT_S)
        if self._thread.is_alive():
            raise FrameTimeout(
                f"expected the last images within {FLUSH_TIMEOUT_S:g} s, got none: the engine or "
                "the callback is stuck"
            )

    def _run(self) -> None:
        try:
            self._deliver_all()
        except BaseException as error:
            log.exception("realizing %s ended", self._name)
            with self._changed:
                self.error = error
                self._waiting.clear()

    def _deliver_all(self) -> None:
        self._engine.reset()
        for index, group in enumerate(self._groups()):
            if group.lost:
                self._engine.reset()
            realized = self._engine.realize(_chunk(group, index, self._name)).frames
            for (image, _), picture in zip(group.arrived, realized, strict=False):
                overwrite(image, picture)
                self._callback(image)

    def _groups(self) -> Iterator[_Group]:
        """Yield images that follow one another without a gap, as many as the engine takes.

        Only a group that a gap or the end cuts off is shorter.
        """
        spec, steps = self._engine.spec, StepCounter(every_tick=self._every_tick)
        group = _Group(lost=0, size=spec.first_frames)
        while (arrived := self._next()) is not None:
            lost = steps.missed(arrived[0].frame)
            if lost:
                if group.arrived:
                    yield group
                group = _Group(lost=lost, size=spec.first_frames)
            group.arrived.append(arrived)
            if len(group.arrived) == group.size:
                yield group
                group = _Group(lost=0, size=spec.frames)
        if group.arrived:
            yield group

    def _next(self) -> _Arrived | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._finishing)
            return self._waiting.popleft() if self._waiting else None


def _chunk(group: _Group, index: int, name: str) -> Chunk:
    """Return the group as a chunk; a short one is filled up with its last image."""
    frames = [
        Frame(
            camera=name,
            frame_id=image.frame,
            timestamp=image.timestamp,
            captured_at=arrived_at,
            image=rgb(image),
            intrinsics=pinhole(image.width, image.height, image.fov),
            cam_to_world=cam_to_world(image.transform.get_matrix()),
        )
        for image, arrived_at in group.arrived
    ]
    frames += frames[-1:] * (group.size - len(frames))
    return Chunk.of(frames, index=index, dropped_before=group.lost)
