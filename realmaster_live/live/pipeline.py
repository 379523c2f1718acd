"""The live loop: capture, realize, deliver, each on its own thread.

    source --frames--> [capture thread] --chunks--> queue --> [caller's thread: engine]
                                                                   |
           sinks <-- [deliver thread] <-- queue <--realized chunks-+

The first queue follows the drop policy; the second one always waits, because work that is done is
worth delivering. A slow sink therefore slows the engine, and only then makes the first queue drop.

What a sink asks of `RunInfo.controls` is done to the engines between two chunks, on the caller's
thread.

What the cameras of one tick showed stays together: the queues hold the chunks of all cameras at the
same ticks as one item. Each camera has an engine of its own, or several of one size have a
RigEngine, which realizes their chunks together. Where chunks may be dropped, those of spare cameras
go first.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import islice

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.live.arguments import (
    check_engines,
    check_limits,
    check_sinks,
    check_source,
    check_spare,
)
from realmaster_live.live.budget import SpareCameras, Waiting, inherit
from realmaster_live.live.chunker import Chunker
from realmaster_live.live.controls import EngineControls
from realmaster_live.live.engine_info import engine_info
from realmaster_live.live.queue import BoundedQueue, Policy, QueueClosed
from realmaster_live.live.rig_chunker import RigChunker
from realmaster_live.live.stats import Meter, Stats
from realmaster_live.protocols import Engine, RigEngine, RunSink, Sink, Source
from realmaster_live.system.termination import termination_raises

log = logging.getLogger(__name__)
OWN_END_S = 2.0  # how long a source may take to give its next frame before it is closed under it
CLOSED_END_S = 30.0  # how long it may then take to notice
PROGRESS_EVERY_S = 0.25
CLOCK_NOISE_S = 1e-3  # sums of a simulator's time steps are not exact

_Chunks = tuple[Chunk, ...]  # of all cameras, at the same ticks
_WithCameras = tuple[Engine | RigEngine, tuple[str, ...]]  # by name; none is one of any name


def run(
    source: Source,
    engine: Engine | Mapping[str, Engine | RigEngine],
    sinks: Sequence[Sink],
    *,
    policy: Policy = "block",
    queue_chunks: int = 2,
    max_frames: int | None = None,
    seconds: float | None = None,
    on_progress: Callable[[Stats], None] | None = None,
    resize: bool = False,
    frame_step: int = 1,
    spare: Collection[str] = (),
) -> Stats:
    """Realize everything that `source` gives and hand it to every sink; blocks until the end.

    Whoever opens a thing closes it. The source and the engines stay open, so they can be used for
    another run; a sink that is not open yet is opened here and closed on every way out, and one
    that its owner has opened stays open. Only a source that still waits for a frame when the run
    has to end is closed: nothing else wakes it.

    A source that fails ends the run like one that stops: what it gave before is still realized and
    delivered, then its exception is raised. An engine or a sink that fails ends it at once. On
    KeyboardInterrupt and on SIGTERM (which raises SystemExit) what is realized already is still
    delivered.

    Args:
        source: gives the frames of one camera, or tick by tick those of several.
        engine: realizes the chunks, on the calling thread; for several cameras one engine for each,
            by the camera's name, which may differ in size but not in the chunks' length. A
            RigEngine stands under the names of all of its cameras.
        sinks: take each realized chunk one after another, on a thread of their own; those of
            several cameras in the order in which their frames came. A sink of your own needs
            `write` and `close`; without `is_open` (see RunSink) it counts as not open.
        policy: "block" holds the source until the engine is ready; "drop_oldest" lets the newest
            chunk win, and counts the loss.
        queue_chunks: how many chunks of a camera may wait in front of the engine, and behind it.
        max_frames: end after so many captured frames, of all cameras together.
        seconds: end after so much simulated time, by the frames' timestamps.
        on_progress: called on this thread a few times a second, and once at the end, also when the
            run fails.
        resize: scale frames of another size to the engine's.
        frame_step: what the source's frame numbers grow by from one frame to the next.
        spare: cameras, each with an engine of its own, whose chunks are left out and counted under
            "drop_oldest" whenever later ones wait for the engine already.

    Raises:
        ConfigError: an option is out of range, an argument is no source, engine or sink, or a frame
            does not fit the engine.
        Exception: the first one that the source, the engine or a sink raised.
    """
    check_source(source)
    check_engines(engine)
    check_sinks(sinks)
    engines = _with_cameras(engine)
    with ExitStack() as exits:
        for sink in sinks:
            is_source = id(sink) == id(source)  # a bridge may be both
            if not is_source and not getattr(sink, "is_open", False):
                exits.callback(sink.close)
        check_limits(max_frames, seconds)
        check_spare(spare, engine)
        if spare and policy == "block":
            log.warning("policy block leaves out nothing: spare cameras are realized like others")
        controls = EngineControls([one for one, _ in engines])
        exits.callback(controls.close)
        loop = _Loop(
            source,
            engines,
            sinks,
            chunker=_rig_chunker(engine, resize=resize, frame_step=frame_step),
            inbox=BoundedQueue(queue_chunks, policy, inherit=inherit),
            outbox=BoundedQueue(queue_chunks, "block"),
            max_frames=max_frames,
            seconds=seconds,
            on_progress=on_progress,
            controls=controls,
            spare=SpareCameras(spare if policy == "drop_oldest" else ()),
        )
        with termination_raises():
            for one, _ in engines:
                one.reset()  # an earlier run's frames are not before this one's
            _begin(sinks, source, engines[0][0], policy, controls, loop.meter)
            loop.run()
    return loop.meter.stats()


class _Loop:
    """What the three threads of one run share."""

    def __init__(
        self,
        source: Source,
        engines: Sequence[_WithCameras],
        sinks: Sequence[Sink],
        *,
        chunker: RigChunker,
        inbox: BoundedQueue[Waiting],
        outbox: BoundedQueue[_Chunks],
        max_frames: int | None,
        seconds: float | None,
        on_progress: Callable[[Stats], None] | None,
        controls: EngineControls,
        spare: SpareCameras,
    ) -> None:
        self.source = source
        self.engines = engines
        self.sinks = sinks
        self.chunker = chunker
        self.inbox = inbox
        self.outbox = outbox
        self.max_frames = max_frames
        self.seconds = seconds
        self.on_progress = on_progress
        self.controls = controls
        self.spare = spare
        self.meter = Meter({"engine": inbox, "sinks": outbox})
        self._next_index: dict[str, int] = {}
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (("rm-capture", self._capture), ("rm-deliver", self._deliver))
        ]
        self._error: BaseException | None = None
        self._error_lock = threading.Lock()

    def run(self) -> None:
        """Run until the source ends or something fails; raise the first exception of any thread."""
        for thread in self._threads:
            thread.start()
        try:
            self._guarded(self._realize)
        finally:
            try:
                self._wind_down()
            finally:
                self.outbox.close()  # holds something only if the winding down was interrupted
                self._threads[1].join(OWN_END_S)
                self.meter.settle()
                if self.on_progress is not None:
                    self.on_progress(self.meter.stats())
        if self._error is not None:
            raise self._error

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do one thread's work and keep the first exception of all threads."""
        try:
            work()
        except QueueClosed:
            pass  # another thread failed or was interrupted: its exception is the one to raise
        except BaseException as error:
            with self._error_lock:
                self._error = self._error or error

    def _wind_down(self) -> None:
        """End both threads; what is realized already is still delivered unless a sink failed."""
        capture, deliver = self._threads
        self.inbox.close()
        self.outbox.finish()
        capture.join(OWN_END_S)
        if capture.is_alive():  # it waits for a frame, and closing the source is what wakes it
            self.source.close()
            capture.join(CLOSED_END_S)
        if capture.is_alive():
            log.warning("the source still waits for a frame %g s after close()", CLOSED_END_S)
        deliver.join()

    def _capture(self) -> None:
        try:
            with closing(_generator(self.source.frames())) as frames:
                self._group(frames)
        except BaseException:
            if not self.inbox.closed:  # otherwise the source failed because it was closed
                raise
        finally:
            self.inbox.finish()

    def _group(self, frames: Iterator[Frame]) -> None:
        chunker, first, last = self.chunker, None, 0.0
        for frame in islice(_within(frames, self.seconds), self.max_frames):
            now = time.monotonic()
            if frame.camera == first:
                self.meter.sample("capture", now - last)
            if first in (None, frame.camera):
                first, last = frame.camera, now
            self.meter.touch()
            lost, discarded = chunker.lost, chunker.discarded
            chunks = chunker.push(frame)
            self.meter.count(
                captured=1,
                lost_frames=chunker.lost - lost,
                dropped_frames=chunker.discarded - discarded,
            )
            if self.inbox.closed:
                return
            if chunks:
                overtaken = self.inbox.put((time.monotonic(), chunks))
                if overtaken is not None:
                    frame_count = sum(len(chunk) for chunk in overtaken[1])
                    self.meter.count(dropped_chunks=len(overtaken[1]), dropped_frames=frame_count)
        discarded = chunker.discarded
        chunker.finish()
        self.meter.count(dropped_frames=chunker.discarded - discarded)

    def _realize(self) -> None:
        reported = time.monotonic()
        while (waiting := self.inbox.get()) is not None:
            since, chunks = waiting
            self.controls.apply()
            self.meter.sample("queue", time.monotonic() - since)
            kept = self.spare.kept(chunks, is_late=len(self.inbox) > 0)
            left_out = sum(map(len, chunks)) - sum(map(len, kept))
            self.meter.count(dropped_chunks=len(chunks) - len(kept), dropped_frames=left_out)
            self.outbox.put(self._realized(kept))
            if self.on_progress is not None and time.monotonic() - reported > PROGRESS_EVERY_S:
                reported = time.monotonic()
                self.on_progress(self.meter.stats())

    def _realized(self, chunks: _Chunks) -> _Chunks:
        """Realize the chunks of the same ticks, each with its camera's engine; keep their order."""
        given = {chunk.camera: chunk for chunk in chunks}
        realized: dict[str, Chunk] = {}
        for engine, cameras in self.engines:
            mine = [given[camera] for camera in cameras or given if camera in given]
            if mine:
                made = self._realized_by(engine, mine)
                realized |= {chunk.camera: chunk for chunk in made}
        return tuple(realized[camera] for camera in given)

    def _realized_by(self, engine: Engine | RigEngine, chunks: Sequence[Chunk]) -> _Chunks:
        """Realize the chunks of an engine's cameras; it forgets what came before a gap."""
        if any(
            chunk.dropped_before or chunk.index != self._next_index.get(chunk.camera, chunk.index)
            for chunk in chunks
        ):
            engine.reset()
            kept = [chunk.last(engine.spec.first_frames) for chunk in chunks]
            dropped = sum(map(len, chunks)) - sum(map(len, kept))
            self.meter.count(resets=len(chunks), dropped_frames=dropped)
            chunks = kept
        self._next_index |= {chunk.camera: chunk.index + 1 for chunk in chunks}
        began = time.monotonic()
        if len(chunks) > 1 and isinstance(engine, RigEngine):
            realized = engine.realize_together(tuple(chunks))
        else:
            assert isinstance(engine, Engine)
            realized = tuple(engine.realize(chunk) for chunk in chunks)
        self.meter.sample("engine", *[time.monotonic() - began] * len(chunks))
        return realized

    def _deliver(self) -> None:
        try:
            while (chunks := self.outbox.get()) is not None:
                for chunk in chunks:
                    began = time.monotonic()
                    for sink in self.sinks:
                        sink.write(chunk)
                    ended = time.monotonic()
                    self.meter.sample("deliver", ended - began)
                    self.meter.sample("end_to_end", *(ended - chunk.captured_at))
                    self.meter.count(realized=len(chunk))
                    self.meter.touch()
        except BaseException:
            self.inbox.close()
            self.outbox.close()
            raise


def _with_cameras(engine: Engine | Mapping[str, Engine | RigEngine]) -> list[_WithCameras]:
    """Return each engine with its cameras; ConfigError for one of another number of cameras."""
    if not isinstance(engine, Mapping):
        return [(engine, ())]
    found: dict[int, _WithCameras] = {}
    for camera, one in engine.items():
        found[id(one)] = one, (*found.get(id(one), (one, ()))[1], camera)
    for one, cameras in found.values():
        count = getattr(one, "cameras", 1)
        if count != len(cameras):
            raise ConfigError(
                f"expected an engine for {len(cameras)} cameras ({', '.join(cameras)}), got one "
                f"for {count}: load it once for each camera, or once with cameras={len(cameras)}"
            )
    return list(found.values())


def _rig_chunker(
    engine: Engine | Mapping[str, Engine | RigEngine], *, resize: bool, frame_step: int
) -> RigChunker:
    """Return a chunker for each camera; raise ConfigError unless they can keep in step."""

    def chunker(one: Engine | RigEngine) -> Chunker:
        return Chunker(one.spec, resize=resize, frame_step=frame_step)

    if not isinstance(engine, Mapping):
        return RigChunker(chunker(engine))
    lengths = {(one.spec.frames, one.spec.first_frames) for one in engine.values()}
    if len(lengths) != 1:
        raise ConfigError(
            "expected engines for chunks of one length, got "
            f"{len(engine)} cameras with chunks of {sorted(lengths)} frames: load the same engine "
            "for each camera"
        )
    return RigChunker({name: chunker(one) for name, one in engine.items()})


def _within(frames: Iterator[Frame], seconds: float | None) -> Iterator[Frame]:
    """Yield the frames of so much simulated time; a clock that falls back goes on from there."""
    elapsed, last = 0.0, None
    for frame in frames:
        if last is not None:
            elapsed += max(0.0, frame.timestamp - last)
        last = frame.timestamp
        if seconds is not None and elapsed > seconds - CLOCK_NOISE_S:
            return
        yield frame


def _begin(
    sinks: Sequence[Sink],
    source: Source,
    engine: Engine | RigEngine,
    policy: Policy,
    controls: EngineControls,
    meter: Meter,
) -> None:
    """Describe the run to each sink that has a `begin`."""
    info = RunInfo(
        source=source,
        spec=engine.spec,
        engine=engine_info(engine),
        policy=policy,
        controls=controls,
        totals=meter.totals,
    )
    for sink in sinks:
        if isinstance(sink, RunSink):
            sink.begin(info)


def _generator(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
    """Give any iterator a `close`, so that a source's own cleaning up runs on its thread."""
    yield from frames
