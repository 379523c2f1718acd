import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from realmaster_live import ChunkSpec, Frame, SourceInfo
from realmaster_live.errors import ConfigError, EngineError, FrameTimeout, RecordingError
from realmaster_live.live.pipeline import run

SPEC = ChunkSpec(frames=4, height=8, width=16, fps=20)


class Hold:
    """Keeps whoever waits in it until the source has given its last frame."""

    def __init__(self):
        self.reached, self.over = threading.Event(), threading.Event()

    def wait(self):
        self.reached.set()
        self.over.wait(60)


class MovingBar:
    """A user's own source: a bright bar that walks over a dark picture."""

    def __init__(self, count, *, every_s=0.0, skip=(), fail_at=None, hang_at=None, hold=None):
        self.count, self.every_s, self.skip, self.hold = count, every_s, skip, hold
        self.fail_at, self.hang_at = fail_at, hang_at
        self.closed = threading.Event()
        self.cleaned_up_on = None

    def frames(self):
        try:
            for number in range(self.count):
                if number in self.skip:
                    continue
                if number == self.fail_at:
                    raise FrameTimeout("expected frame 9 within 1 s, got none: look at the server")
                if number == self.hang_at:
                    self.closed.wait()
                    return
                if number == 8 and self.hold is not None:
                    self.hold.reached.wait(60)
                time.sleep(self.every_s)
                image = np.zeros((8, 16, 3), np.uint8)
                image[:, number % 16] = 255
                yield Frame(
                    camera="front",
                    frame_id=number,
                    timestamp=number / 20,
                    captured_at=time.monotonic(),
                    image=image,
                    intrinsics=np.eye(3),
                    cam_to_world=np.eye(4),
                )
            if self.hold is not None:
                self.hold.over.set()
        finally:
            self.cleaned_up_on = threading.current_thread().name

    def close(self):
        self.closed.set()


class Inverting:
    """A user's own engine; remembers what it was told."""

    def __init__(self, *, spec=SPEC, fail_at=None, interrupt_at=None, hold=None):
        self.spec, self.hold = spec, hold
        self.fail_at, self.interrupt_at = fail_at, interrupt_at
        self.log = []
        self.thread = None

    def realize(self, chunk):
        self.thread = threading.current_thread()
        self.log.append(len(chunk))
        if chunk.index == self.fail_at:
            raise EngineError("expected finite pixels, got NaN: check the weights")
        if chunk.index == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        if self.hold is not None:
            self.hold.wait()
        return chunk.with_frames(255 - chunk.frames)

    def reset(self):
        self.log.append("reset")

    def close(self):
        self.log.append("close")


class Collector:
    """A user's own sink."""

    def __init__(self, *, every_s=0.0, fail_at=None, hold=None):
        self.every_s, self.fail_at, self.hold = every_s, fail_at, hold
        self.chunks = []
        self.closed = 0

    def write(self, chunk):
        if chunk.index == self.fail_at:
            raise RecordingError("expected room on the disk, got none: free some")
        if self.hold is not None:
            self.hold.wait()
        time.sleep(self.every_s)
        self.chunks.append(chunk)

    def close(self):
        self.closed += 1

    @property
    def frame_ids(self):
        return [int(number) for chunk in self.chunks for number in chunk.frame_ids]


@pytest.fixture(autouse=True)
def no_thread_is_left_behind():
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert not left


def test_every_frame_arrives_once_in_order_and_is_accounted_for():
    source, engine, sink = MovingBar(42), Inverting(), Collector()
    stats = run(source, engine, [sink])
    assert sink.frame_ids == list(range(40))
    assert sink.chunks[3].frames[1, 0, 13 % 16, 0] == 0
    assert sink.chunks[3].rendered[1, 0, 13 % 16, 0] == 255
    assert (stats.captured, stats.realized, stats.dropped_frames) == (42, 40, 2)
    assert (stats.lost_frames, stats.dropped_chunks, stats.resets) == (0, 0, 0)
    assert stats.unfinished_frames == 0
    assert stats.latency_ms["engine"].count == 10
    assert stats.latency_ms["end_to_end"].count == 40
    assert stats.latency_ms["capture"].count == 41
    assert stats.fps == pytest.approx(40 / stats.wall_s)


def test_the_engine_runs_on_the_callers_thread_and_the_source_cleans_up_on_its_own():
    source, engine, sink = MovingBar(8), Inverting(), Collector()
    run(source, engine, [sink])
    assert engine.thread is threading.current_thread()
    assert source.cleaned_up_on == "rm-capture"


def test_source_and_engine_stay_open_for_another_run_and_unopened_sinks_do_not():
    source, engine, sinks = MovingBar(8), Inverting(), [Collector(), Collector()]
    for sink in sinks:
        run(source, engine, [sink])
        assert sink.frame_ids == list(range(8))
        assert sink.closed == 1
    assert "close" not in engine.log
    assert engine.log == ["reset", 4, 4] * 2  # the second run begins without the first one's past
    assert not source.closed.is_set()


def test_a_sink_that_its_owner_has_opened_stays_open():
    class Opened(Collector):
        is_open = True

        def begin(self, run):
            self.run = run

    source, engine, sink = MovingBar(8), Inverting(), Opened()
    run(source, engine, [sink], policy="drop_oldest")
    assert sink.closed == 0
    assert (sink.run.source, sink.run.spec, sink.run.policy) == (source, SPEC, "drop_oldest")
    assert sink.run.engine.name == "Inverting"
    assert sink.run.source_info == SourceInfo()


def test_a_source_that_is_a_sink_too_is_not_closed():
    class Both(MovingBar):
        def write(self, chunk):
            pass

    both = Both(8)
    run(both, Inverting(), [both])
    assert not both.closed.is_set()


def test_max_frames_ends_an_endless_source():
    sink = Collector()
    stats = run(MovingBar(10**9), Inverting(), [sink], max_frames=12)
    assert stats.captured == 12
    assert sink.frame_ids == list(range(12))


def test_seconds_are_simulated_time_by_the_frames_own_stamps():
    sink = Collector()
    run(MovingBar(10**9), Inverting(), [sink], seconds=0.6)
    assert sink.frame_ids == list(range(12))  # 20 a second
    gaps = Collector()
    run(MovingBar(10**9, skip=range(4, 10)), Inverting(), [gaps], seconds=0.6)
    assert gaps.frame_ids == [0, 1, 2, 3]  # 10 and 11 fill no chunk


def test_a_gap_resets_the_engine_and_reaches_the_sinks():
    engine, sink = Inverting(), Collector()
    stats = run(MovingBar(20, skip=(9, 10)), engine, [sink])
    assert engine.log[:5] == ["reset", 4, 4, "reset", 4]
    assert [chunk.dropped_before for chunk in sink.chunks] == [0, 0, 3, 0]
    assert (stats.lost_frames, stats.resets) == (2, 1)
    assert stats.captured == stats.realized + stats.dropped_frames


def test_block_holds_the_source_back_for_a_slow_sink():
    source, sink = MovingBar(40), Collector(every_s=0.02)
    stats = run(source, Inverting(), [sink], policy="block", queue_chunks=1)
    assert sink.frame_ids == list(range(40))
    assert stats.dropped_frames == 0
    assert stats.latency_ms["capture"].p95 > 10  # every fourth frame waits for the sink


@pytest.mark.parametrize("slow", ["engine", "sink"])
def test_drop_oldest_lets_the_newest_win_and_counts(slow):
    hold = Hold()
    source = MovingBar(120, hold=hold)
    engine = Inverting(hold=hold if slow == "engine" else None)
    sink = Collector(hold=hold if slow == "sink" else None)
    stats = run(source, engine, [sink], policy="drop_oldest", queue_chunks=1)
    assert stats.captured == 120
    assert stats.dropped_chunks > 0
    assert stats.captured == stats.realized + stats.dropped_frames
    assert sink.frame_ids == sorted(sink.frame_ids)
    assert sink.frame_ids[-1] == 119  # the newest is never the one that goes
    assert sum(chunk.dropped_before for chunk in sink.chunks) == stats.dropped_frames
    assert engine.log.count("reset") == 1 + stats.resets > 1


def test_after_a_dropped_chunk_the_engine_starts_with_a_short_one():
    spec = ChunkSpec(frames=4, height=8, width=16, fps=20, first_frames=1)
    hold, sink = Hold(), Collector()
    source, engine = MovingBar(121, hold=hold), Inverting(spec=spec, hold=hold)
    stats = run(source, engine, [sink], policy="drop_oldest", queue_chunks=1)
    assert stats.resets > 0
    for before, after in pairwise(engine.log):
        assert before != "reset" or after in (1, "reset")
    assert stats.captured == stats.realized + stats.dropped_frames
    assert sum(chunk.dropped_before for chunk in sink.chunks) == stats.dropped_frames


def test_a_failing_source_still_has_its_frames_delivered():
    engine, sink = Inverting(), Collector()
    with pytest.raises(FrameTimeout, match="frame 9"):
        run(MovingBar(40, fail_at=9), engine, [sink])
    assert sink.frame_ids == list(range(8))
    assert sink.closed == 1


def test_a_failing_engine_ends_the_run():
    source, sink = MovingBar(10**9), Collector()
    with pytest.raises(EngineError, match="NaN"):
        run(source, Inverting(fail_at=3), [sink])
    assert sink.frame_ids == list(range(12))
    assert sink.closed == 1


def test_a_failing_sink_ends_the_run_and_closes_the_others():
    source, engine, other = MovingBar(10**9), Inverting(), Collector()
    with pytest.raises(RecordingError, match="room on the disk"):
        run(source, engine, [other, Collector(fail_at=2)])
    assert other.closed == 1


def test_a_source_that_waits_is_woken_by_closing_it():
    with pytest.raises(EngineError):
        run(MovingBar(40, hang_at=9), Inverting(fail_at=1), [Collector()])


def test_a_sink_that_cannot_close_is_reported():
    class Unclosable(Collector):
        def close(self):
            raise RecordingError("expected to finish the file, got an error: look at the disk")

    other = Collector()
    with pytest.raises(RecordingError, match="finish the file"):
        run(MovingBar(8), Inverting(), [other, Unclosable()])
    assert other.closed == 1


def test_an_interrupt_delivers_what_is_realized():
    source, engine, sink = MovingBar(10**9), Inverting(interrupt_at=5), Collector(every_s=0.01)
    seen = []
    with pytest.raises(KeyboardInterrupt):
        run(source, engine, [sink], on_progress=seen.append)
    assert sink.frame_ids == list(range(20))
    assert sink.closed == 1
    assert seen[-1].realized == 20


class Interrupting:
    """Sends this process a SIGINT once, at a stage of a run."""

    def __init__(self):
        self.sent = False

    def now(self):
        if not self.sent:
            self.sent = True
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("stage", ["source", "engine", "after the engine", "sink", "progress"])
@pytest.mark.parametrize("policy", ["block", "drop_oldest"])
def test_every_captured_frame_is_in_some_count_after_an_interrupt(stage, policy):
    interrupt, seen = Interrupting(), []

    class Source(MovingBar):
        def frames(self):
            for number, frame in enumerate(super().frames()):
                if stage == "source" and number == 21:
                    interrupt.now()
                yield frame

    class Engine(Inverting):
        def realize(self, chunk):
            if stage == "engine" and chunk.index >= 5:
                interrupt.now()
            made = super().realize(chunk)
            if stage == "after the engine" and chunk.index >= 5:
                interrupt.now()
            return made

    class Sink(Collector):
        def write(self, chunk):
            super().write(chunk)
            if stage == "sink" and chunk.index >= 5:
                interrupt.now()

    def progress(stats):
        seen.append(stats)
        if stage == "progress" and stats.realized:
            interrupt.now()

    sink = Sink(every_s=0.005)
    with pytest.raises(KeyboardInterrupt):
        run(Source(10**9, every_s=0.0005), Engine(), [sink], policy=policy, on_progress=progress)
    stats = seen[-1]
    assert stats.captured == stats.realized + stats.dropped_frames + stats.unfinished_frames
    assert stats.realized == len(sink.frame_ids) > 0
    assert stats.unfinished_frames >= 0
    assert f"{stats.unfinished_frames} unfinished" in repr(stats)


def test_a_failing_sink_leaves_its_chunk_unfinished():
    seen = []
    with pytest.raises(RecordingError):
        run(MovingBar(10**9), Inverting(), [Collector(fail_at=2)], on_progress=seen.append)
    stats = seen[-1]
    assert stats.realized == 8 and stats.unfinished_frames >= 4
    assert stats.captured == stats.realized + stats.dropped_frames + stats.unfinished_frames


def test_wrong_sizes_and_options_are_refused_and_still_closed():
    large = ChunkSpec(frames=4, height=16, width=32, fps=20)
    source, sink = MovingBar(8), Collector()
    with pytest.raises(ConfigError, match="expected 32x16 frames"):
        run(source, Inverting(spec=large), [sink])
    assert sink.closed == 1
    for options in ({"policy": "newest"}, {"queue_chunks": 0}, {"max_frames": 0}):
        sink = Collector()
        with pytest.raises(ConfigError):
            run(MovingBar(8), Inverting(), [sink], **options)
        assert sink.closed == 1


def test_resizing_is_there_for_the_asking():
    sink = Collector()
    large = ChunkSpec(frames=4, height=16, width=32, fps=20)
    run(MovingBar(8), Inverting(spec=large), [sink], resize=True)
    assert sink.chunks[0].frames.shape == (4, 16, 32, 3)


def test_progress_is_reported_a_few_times_a_second():
    seen = []
    run(MovingBar(60, every_s=0.01), Inverting(), [Collector()], on_progress=seen.append)
    assert 2 <= len(seen) <= 2 + seen[-1].wall_s / 0.25
    assert seen[-1].realized == 60


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_close_everything(number, code, tmp_path):
    script = textwrap.dedent(
        """
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("parts", sys.argv[1])
        parts = importlib.util.module_from_spec(spec); spec.loader.exec_module(parts)
        class Sink(parts.Collector):
            def write(self, chunk):
                super().write(chunk); print("chunk", chunk.index, flush=True)
            def close(self):
                print("closed", flush=True)
        try:
            parts.run(parts.MovingBar(10**9, every_s=0.01), parts.Inverting(), [Sink()])
        except KeyboardInterrupt:
            sys.exit(130)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, __file__], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "chunk 0\n"
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    assert rest.endswith("closed\n")
    assert process.returncode == code
