"""The live loop: what arrives where, what is counted, and what is refused."""

import threading
from itertools import pairwise

import pytest
from moving_bar import SPEC, Collector, Hold, Inverting, MovingBar

from realmaster_live import ChunkSpec, SourceInfo
from realmaster_live.errors import ConfigError
from realmaster_live.live.pipeline import run

pytestmark = pytest.mark.usefixtures("no_thread_is_left_behind")


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
