"""The thread around a sink: what it drops, what it isolates, how it ends."""

import logging
import os
import sys
import threading

import pytest
from sink_drive import drive, run_info
from street import make_chunk
from waiting import until

import realmaster_live as rm
from realmaster_live.errors import ConfigError
from realmaster_live.live.queue import Policy
from realmaster_live.protocols import RunSink
from realmaster_live.sinks import BackgroundSink, background


class Gate:
    """A sink that waits where it is told to, and remembers what it got."""

    def __init__(self, fails_at=()):
        self.released, self.closed = threading.Event(), 0
        self.got, self.threads, self.fails_at = [], set(), fails_at
        self.entered = threading.Event()

    def write(self, chunk):
        self.entered.set()
        assert self.released.wait(60)
        self.threads.add(threading.current_thread().name)
        if chunk.index in self.fails_at:
            raise ValueError(f"chunk {chunk.index}")
        self.got.append(chunk.index)

    def close(self):
        self.closed += 1


def around(gate, policy: Policy = "drop_oldest", **how):
    return BackgroundSink(gate, name="gate:", policy=policy, **how)


def test_the_oldest_chunks_go_and_are_counted():
    gate = Gate()
    sink = around(gate)
    assert isinstance(sink, RunSink) and not sink.is_open
    with sink:
        sink.write(make_chunk(0))
        assert gate.entered.wait(60)  # it holds the first, two more fit
        for index in range(1, 6):
            sink.write(make_chunk(index))  # never waits
        assert sink.figures.waiting == 2
        gate.released.set()
    assert gate.got == [0, 4, 5] and gate.closed == 1
    figures = sink.figures
    assert (figures.written, figures.dropped, figures.failed) == (12, 12, 0)
    assert str(figures) == "gate:: 12 frames, 12 dropped"
    assert figures.latency_ms.count == 3


def test_a_file_waits_and_drops_nothing():
    gate = Gate()
    with around(gate, "block") as sink:
        writing = threading.Thread(target=lambda: [sink.write(make_chunk(i)) for i in range(6)])
        writing.start()
        writing.join(0.3)
        assert writing.is_alive()  # one is written, two wait, the next has no room
        gate.released.set()
        writing.join(60)
    assert gate.got == [0, 1, 2, 3, 4, 5] and sink.figures.dropped == 0


def test_room_is_for_every_camera():
    gate = Gate()
    sink = around(gate)
    sink.begin(run_info("front", "left", "right"))
    sink.write(make_chunk(0))
    assert gate.entered.wait(60)
    for index in range(1, 7):
        sink.write(make_chunk(index))
    assert sink.figures.dropped == 0
    gate.released.set()
    sink.close()
    assert len(gate.got) == 7


def test_what_it_raises_is_named_once_and_ends_nothing(caplog):
    gate = Gate(fails_at=(1, 3))
    gate.released.set()
    with caplog.at_level(logging.WARNING), around(gate, "block") as sink:
        for index in range(5):
            sink.write(make_chunk(index))
    assert gate.got == [0, 2, 4] and gate.closed == 1
    assert (sink.figures.written, sink.figures.failed) == (12, 8)
    assert sink.figures.error == "ValueError: chunk 1"
    assert [one.getMessage() for one in caplog.records] == [
        "gate: failed and goes on, further errors are counted: ValueError: chunk 1"
    ]


def test_a_run_goes_on_beside_a_sink_that_fails(tmp_path):
    from realmaster_live.engines.identity_engine import IdentityEngine

    gate, other = Gate(fails_at=range(100)), Gate()
    gate.released.set()
    other.released.set()
    frames = [make_chunk(index).frame(row) for index in range(3) for row in range(4)]

    class Street:
        def frames(self):
            yield from frames

        def close(self):
            pass

    spec = rm.ChunkSpec(frames=4, height=64, width=96, fps=20)
    sinks = [around(gate, "block"), around(other, "block")]
    stats = rm.run(Street(), IdentityEngine(spec), sinks)
    assert stats.realized == 12 and other.got == [0, 1, 2]
    assert [sink.figures.failed for sink in sinks] == [12, 0]
    assert not any(sink.is_open for sink in sinks) and gate.closed == other.closed == 1


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own there")
def test_its_thread_is_named_and_gives_way_to_the_loop_unless_that_waits_for_it():
    seen = {}

    class Priority(Gate):
        def write(self, chunk):
            native = threading.get_native_id()
            seen[threading.current_thread().name] = os.getpriority(os.PRIO_PROCESS, native)

    own = os.getpriority(os.PRIO_PROCESS, 0)
    for policy, expected in (("drop_oldest", own + background.NICENESS), ("block", own)):
        with around(Priority(), policy) as sink:
            sink.write(make_chunk(0))
        assert seen == {"rm-gate:": min(19, expected)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
    assert "rm-gate:" not in {thread.name for thread in threading.enumerate()}


def test_one_that_never_ends_is_left_behind(monkeypatch, caplog):
    monkeypatch.setitem(background.CLOSE_S, "drop_oldest", 0.2)
    gate = Gate()
    sink = around(gate)
    with sink:
        for index in range(3):
            sink.write(make_chunk(index))
        assert gate.entered.wait(60)
    assert "did not end in 0.2 s" in caplog.text
    assert sink.figures.dropped == 8  # what still waited
    assert sink.figures.failed == 4  # what it never took
    assert "4 failed (it did not end in 0.2 s)" in str(sink.figures)
    gate.released.set()


def test_what_opening_raises_is_raised():
    class Taken(Gate):
        is_open = False

        def begin(self, run):
            raise ConfigError("expected a free port, got none: choose another")

    with pytest.raises(ConfigError, match="free port"):
        drive(around(Taken()))


def test_a_closed_one_is_not_opened_again():
    gate = Gate()
    sink = around(gate)
    with sink:
        pass
    sink.close()
    assert gate.closed == 1
    with pytest.raises(ConfigError, match="open a new one"):
        sink.begin(run_info())


def test_the_last_chunk_is_not_kept_alive():
    import weakref

    gate = Gate()
    gate.released.set()
    with around(gate) as sink:
        chunk = make_chunk(0)
        pictures = weakref.ref(chunk.frames)
        sink.write(chunk)
        del chunk
        until(lambda: pictures() is None)
