"""Joining by frame number: nothing is ever paired across numbers."""

import threading

import pytest

from realmaster_live.bridges.frame_join import BridgeClosed, FrameJoin, StepCounter
from realmaster_live.errors import FrameTimeout


def test_take_waits_for_every_camera_of_that_number():
    join = FrameJoin(("rgb", "depth"))
    join.put("rgb", 7, "r7")
    threading.Timer(0.05, join.put, ("depth", 7, "d7")).start()
    assert join.take(7, 2.0) == {"rgb": "r7", "depth": "d7"}


def test_take_never_gives_another_number():
    join = FrameJoin(("rgb",))
    join.put("rgb", 6, "old")
    join.put("rgb", 8, "new")
    with pytest.raises(FrameTimeout, match=r"frame 7 .* nothing from rgb"):
        join.take(7, 0.05)


def test_the_timeout_names_the_silent_camera():
    join = FrameJoin(("rgb", "depth"))
    join.put("rgb", 3, "r3")
    with pytest.raises(FrameTimeout, match="nothing from depth:"):
        join.take_next(0.05)


def test_take_next_is_in_order_and_drops_what_can_no_longer_complete():
    join = FrameJoin(("rgb", "depth"))
    for number in (1, 2, 3):
        join.put("rgb", number, f"r{number}")
    join.put("depth", 2, "d2")
    join.put("depth", 3, "d3")
    assert join.take_next(0.1)[0] == 2
    join.put("depth", 1, "late")
    assert join.take_next(0.1) == (3, {"rgb": "r3", "depth": "d3"})


def test_a_slow_reader_gets_the_newest_frames_and_the_queue_stays_bounded():
    join = FrameJoin(("rgb",), capacity=3)
    for number in range(10):
        join.put("rgb", number, number)
    assert [join.take_next(0.1)[0] for _ in range(3)] == [7, 8, 9]


def test_a_sender_that_is_ahead_pushes_out_nobody_elses_items():
    join = FrameJoin(("rgb", "world"), capacity=2, capacities={"world": 20})
    for number in range(12):  # the world's state comes every tick, the picture every fourth
        join.put("world", number, f"w{number}")
    for number in (0, 4, 8):
        join.put("rgb", number, f"r{number}")
    assert join.take_next(0.1) == (4, {"rgb": "r4", "world": "w4"})
    assert join.take_next(0.1) == (8, {"rgb": "r8", "world": "w8"})


def test_close_wakes_a_waiting_reader():
    join = FrameJoin(("rgb",))
    threading.Timer(0.05, join.close).start()
    with pytest.raises(BridgeClosed):
        join.take_next(5.0)
    join.close()


def test_lost_frames_are_counted_by_number():
    steps = StepCounter(every_tick=True)
    assert [steps.missed(i) for i in (10, 11, 14, 15)] == [0, 0, 2, 0]


def test_a_camera_that_skips_ticks_is_not_taken_for_losses():
    steps = StepCounter(every_tick=False)
    assert [steps.missed(i) for i in (10, 12, 14, 18, 20)] == [0, 0, 0, 1, 0]
