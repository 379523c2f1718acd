"""One camera's pictures through an engine and back to its listener.

whoever delivers images --put--> groups --whole chunks--> [worker thread: engine]
                            |                                        |
      policies "at once":   +-- newest photoreal pixels <-- slot <---+
      the other policies:   listener <-- own pixels, in order <------+
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.frame_join import StepCounter
from realmaster_live.errors import FrameTimeout
from realmaster_live.feeds.buffers import BufferPool
from realmaster_live.feeds.figures import FeedFigures
from realmaster_live.feeds.pixels import Pixels, camera_picture, engine_frames
from realmaster_live.feeds.policies import policy_of
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.frames.geometry import pinhole
from realmaster_live.protocols import Engine

log = logging.getLogger(__name__)
FLUSH_TIMEOUT_S = 60.0
BUSY_S = 2.0  # how long a listener may take for one image before the log names it

Deliver = Callable[[Any, Pixels | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One picture as the simulator delivered it.

    Attributes:
        payload: what is delivered to the listener, an image or a message.
        pixels: (H, W, 4) uint8 BGRA, unchanged until the picture is realized; for a policy that
            delivers at once they must not be the payload's own memory if delivery overwrites it.
        frame_id: the simulator's number. timestamp: simulation clock, seconds.
        fov_deg: horizontal. cam_to_world: (4, 4) float64, metres, in our axes.
        captured_at: host monotonic clock, seconds.
    """

    payload: Any
    pixels: Pixels
    frame_id: int
    timestamp: float
    fov_deg: float
    cam_to_world: NDArray[np.float64]
    captured_at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Group:
    """Pictures of one chunk: those that arrived, its full size, and how many were lost before."""

    size: int
    lost: int = 0
    arrived: list[Arrival] = field(default_factory=list)


class _Held(NamedTuple):
    """The newest photoreal pixels, (H, W, 4) BGRA of the camera's size, and their frame."""

    frame_id: int
    pixels: Pixels


class CameraFeed:
    """Realizes one camera's pictures on a thread of its own, by one of the latency policies.

    Memory is bounded: the chunk that is collected, and as many whole ones as the policy says; where
    the engine is slower, the oldest whole chunk goes and is counted. A listener that raises is
    counted and its first error logged; one that takes long is named in the log. When the engine
    fails, `error` keeps why, and images come from then on as the simulator drew them.

    Args:
        name: of the camera, for the log and the chunks.
        engine: realizes the chunks, and belongs to this feed until `finish` has returned.
        deliver: called as deliver(payload, pixels) with the BGRA pixels to show, or None for the
            simulator's own. A policy that delivers at once calls it on the thread of `put`, the
            others on the worker's, in order.
        policy: one of the latency policies.
        every_tick: whether the camera draws in every tick, so that a gap shows at once.
        listener: what the log calls whoever is delivered to.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        deliver: Deliver,
        *,
        policy: str,
        every_tick: bool = True,
        listener: str = "the listener",
    ) -> None:
        self.name = name
        self.policy = policy_of(policy)
        self.error: BaseException | None = None
        self._engine, self._deliver, self._listener = engine, deliver, listener
        self._figures = FeedFigures()
        self._steps = StepCounter(every_tick=every_tick)
        self._group = _Group(engine.spec.first_frames)
        self._chunks: deque[_Group] = deque()
        self._at_work = _Group(0)  # at the engine; delivered as drawn if the engine fails
        self._held: _Held | None = None
        self._pool = BufferPool()  # for the pictures that are delivered
        self._newest = self._delivered = -1  # frame numbers
        self._finishing = False
        self._busy_since: float | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"realize-{name}", daemon=True)
        self._thread.start()

    @property
    def spec(self) -> ChunkSpec:
        """The engine's chunks."""
        return self._engine.spec

    @property
    def figures(self) -> FeedFigures:
        """A copy of the counts so far."""
        with self._changed:
            return copy(self._figures)

    @property
    def source_frame(self) -> int | None:
        """Number of the frame whose photoreal pixels are the newest; None before the first."""
        held = self._held
        return None if held is None else held.frame_id

    @property
    def missing(self) -> int:
        """How many pictures the chunk that is being collected lacks."""
        with self._changed:
            return self._group.size - len(self._group.arrived)

    def flush(self) -> None:
        """Realize the pictures that were collected, without waiting for the rest of their chunk."""
        with self._changed:
            if self._group.arrived:
                self._queue()
                self._changed.notify_all()

    def put(self, arrival: Arrival) -> None:
        """Take a picture; any thread may call it, and only a policy "at once" delivers in it."""
        with self._changed:
            if self._finishing:
                return
            self._name_a_slow_listener()
            self._figures.arrived += 1
            held, broken = self._held, self.error is not None
            if not broken:
                self._collect(arrival)
            self._newest = max(self._newest, arrival.frame_id)
            self._changed.notify_all()
        if self.policy.at_once or broken:
            self._call(arrival, None if broken else held)

    def wait(self, frame_id: int, timeout_s: float, *, delivered: bool = False) -> bool:
        """Wait until the picture of this frame has come, or is delivered; return whether."""
        with self._changed:
            return self._changed.wait_for(
                lambda: (self._delivered if delivered else self._newest) >= frame_id, timeout_s
            )

    def finish(self) -> None:
        """End; the pictures that are left are realized and delivered before this returns.

        Inside the listener it returns at once. Raises FrameTimeout where the engine or the listener
        is stuck.
        """
        with self._changed:
            self._finishing = True
            if not self.policy.at_once:
                if self._group.arrived:
                    self._queue()
            elif self.policy.photoreal:  # the newest pixels are of no use any more
                self._chunks.clear()
            self._changed.notify_all()
        if threading.current_thread() is self._thread:
            return
        self._thread.join(FLUSH_TIMEOUT_S)
        if self._thread.is_alive():
            raise FrameTimeout(
                f"expected the last images of {self.name} within {FLUSH_TIMEOUT_S:g} s, got none: "
                f"the engine or {self._listener} is stuck"
            )

    def _collect(self, arrival: Arrival) -> None:
        """Add a picture to the chunk that is collected; a gap cuts that chunk off."""
        lost = self._steps.missed(arrival.frame_id)
        if lost:
            if self._group.arrived and not self.policy.at_once:
                self._queue()
            else:
                self._figures.skipped += len(self._group.arrived)
            self._group = _Group(self._engine.spec.first_frames, lost)
        self._group.arrived.append(arrival)
        if len(self._group.arrived) == self._group.size:
            self._queue()

    def _queue(self) -> None:
        """Let the collected chunk wait for the engine; the oldest one that waits may go for it."""
        group, spec = self._group, self._engine.spec
        if not self.policy.photoreal:  # a recording loses nothing
            self._changed.wait_for(lambda: len(self._chunks) < self.policy.waiting_chunks)
        elif len(self._chunks) == self.policy.waiting_chunks:
            gone = self._chunks.popleft()
            count = len(gone.arrived)
            following = self._chunks[0] if self._chunks else group
            following.lost += gone.lost + count
            self._miss(count)
        self._chunks.append(group)
        self._group = _Group(spec.frames)

    def _run(self) -> None:
        try:
            self._realize_all()
        except BaseException as error:
            log.exception("%s cannot be realized any more: images stay as drawn", self.name)
            with self._changed:
                self.error = error
                groups = (self._at_work, *self._chunks, self._group)
                waiting = [one for group in groups for one in group.arrived]
                self._chunks.clear()
                self._group.arrived = []
                self._changed.notify_all()
            if not self.policy.at_once:
                for arrival in waiting:
                    self._call(arrival, None)

    def _realize_all(self) -> None:
        self._engine.reset()
        index = 0
        while (group := self._next()) is not None:
            if group.lost and index:
                self._engine.reset()
                self._figures.resets += 1
                self._shorten(group)
            arrived = group.arrived
            frames = self._engine.realize(self._chunk(group, index)).frames
            index += 1
            self._at_work = _Group(0)
            self._figures.realized += len(arrived)
            if self.policy.at_once:
                if self.policy.photoreal:
                    self._hold(arrived[-1], frames[len(arrived) - 1])
                continue
            for arrival, frame in zip(arrived, frames, strict=False):
                self._call(arrival, self._hold(arrival, frame))

    def _shorten(self, group: _Group) -> None:
        """Leave as many pictures as the first chunk after a reset takes."""
        first = self._engine.spec.first_frames
        extra = len(group.arrived) - first
        if extra > 0:
            group.arrived, group.lost = group.arrived[extra:], group.lost + extra
            self._miss(extra)
        group.size = min(group.size, first)

    def _miss(self, count: int) -> None:
        """Count pictures that the engine never sees."""
        if self.policy.at_once:
            self._figures.skipped += count
        else:
            self._figures.dropped += count

    def _next(self) -> _Group | None:
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._finishing)
            if not self._chunks:
                return None
            self._at_work = self._chunks.popleft()
            self._changed.notify_all()
            return self._at_work

    def _hold(self, arrival: Arrival, frame: Pixels) -> _Held:
        """Make a realized frame the newest photoreal pixels."""
        height, width = arrival.pixels.shape[:2]
        picture = camera_picture(frame, width, height, out=self._pool.take(height, width, 4))
        self._held = _Held(arrival.frame_id, picture)
        return self._held

    def _chunk(self, group: _Group, index: int) -> Chunk:
        """Return the group as a chunk; a short one is filled up with its last picture."""
        arrived, spec = group.arrived, self._engine.spec
        arrived = arrived + arrived[-1:] * (group.size - len(arrived))
        first = arrived[0]
        across = spec.width / first.pixels.shape[1]
        down = spec.height / first.pixels.shape[0]
        optics = pinhole(first.pixels.shape[1], first.pixels.shape[0], first.fov_deg)
        return Chunk(
            index=index,
            camera=self.name,
            frames=engine_frames([one.pixels for one in arrived], spec.width, spec.height),
            frame_ids=np.array([one.frame_id for one in arrived], np.int64),
            timestamps=np.array([one.timestamp for one in arrived], np.float64),
            captured_at=np.array([one.captured_at for one in arrived], np.float64),
            intrinsics=np.diag([across, down, 1.0]) @ optics,
            cam_to_world=np.stack([one.cam_to_world for one in arrived]),
            dropped_before=group.lost,
        )

    def _call(self, arrival: Arrival, held: _Held | None) -> None:
        """Deliver a picture; a listener that raises is counted and does not stop the others."""
        self._busy_since = time.monotonic()
        try:
            self._deliver(arrival.payload, None if held is None else held.pixels)
        except Exception:
            self._figures.failures += 1
            if self._figures.failures == 1:
                log.exception("%s raised on frame %d of %s", *self._about(arrival))
        finally:
            self._busy_since = None
        with self._changed:
            age = None if held is None else max(0, arrival.frame_id - held.frame_id)
            self._figures.shown(age)
            self._delivered = max(self._delivered, arrival.frame_id)
            self._changed.notify_all()

    def _about(self, arrival: Arrival) -> tuple[str, int, str]:
        return self._listener, arrival.frame_id, self.name

    def _name_a_slow_listener(self) -> None:
        since = self._busy_since
        if since is not None and time.monotonic() - since > BUSY_S:
            self._busy_since = None  # logged once for each call
            log.warning(
                "%s has been busy with one image of %s for more than %g s",
                self._listener,
                self.name,
                BUSY_S,
            )
