"""How a run ends where a part of it fails, cannot close, or is interrupted."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import moving_bar
import pytest
from moving_bar import Collector, Inverting, MovingBar

from realmaster_live.errors import EngineError, FrameTimeout, RecordingError
from realmaster_live.live.pipeline import run

PARTS = str(Path(moving_bar.__file__).parent)
pytestmark = pytest.mark.usefixtures("no_thread_is_left_behind")


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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_close_everything(number, code, tmp_path):
    script = textwrap.dedent(
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        from moving_bar import Collector, Inverting, MovingBar
        from realmaster_live.live.pipeline import run
        class Sink(Collector):
            def write(self, chunk):
                super().write(chunk); print("chunk", chunk.index, flush=True)
            def close(self):
                print("closed", flush=True)
        try:
            run(MovingBar(10**9, every_s=0.01), Inverting(), [Sink()])
        except KeyboardInterrupt:
            sys.exit(130)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, PARTS],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "chunk 0\n"
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    assert rest.endswith("closed\n")
    assert process.returncode == code
