"""One camera's pictures through an engine, by every latency policy."""

import threading

import numpy as np
import pytest

from realmaster_live.errors import ConfigError
from realmaster_live.feeds.feed import BUSY_S, CameraFeed
from realmaster_live.feeds.policies import DEFAULT, POLICIES, explained


def test_the_default_is_the_policy_that_starves_nobody():
    assert not POLICIES[DEFAULT].starves and POLICIES[DEFAULT].at_once
    assert [name for name, policy in POLICIES.items() if policy.starves] == ["delay"]


def test_an_unknown_policy_lists_the_known_ones(negative, listener):
    with pytest.raises(ConfigError, match="hold, delay, lockstep, two_pass, frame, got 'late'"):
        CameraFeed("a", negative(), listener, policy="late")


def test_each_policy_says_what_it_means(negative):
    spec = negative(first=4, frames=4).spec
    assert "waits for the image of its tick goes on" in explained("hold", spec)
    assert "up to 3 frames after its tick" in explained("delay", spec)
    assert "4 steps of the world" in explained("lockstep", spec)


def test_hold_delivers_every_image_at_once_with_the_newest_pixels(negative, listener, arrive):
    engine = negative()
    engine.gate.clear()
    feed = CameraFeed("a", engine, listener, policy="hold")
    feed.put(arrive(1))
    feed.put(arrive(2))
    assert listener.got == [(1, None), (2, None)]  # as drawn: nothing is realized yet
    engine.gate.set()
    assert _becomes(lambda: feed.source_frame == 2)
    feed.put(arrive(3))
    feed.put(arrive(5))
    assert listener.got[2:] == [(3, 253), (5, 253)]
    assert feed.figures.age_frames == 3 and feed.figures.oldest_frames == 3
    assert feed.figures.mean_age_frames == 2.0 and feed.figures.rendered == 2
    feed.finish()


def test_hold_never_queues_more_than_the_newest_chunk(negative, listener, arrive):
    engine = negative()
    engine.gate.clear()
    feed = CameraFeed("a", engine, listener, policy="hold")
    for number in range(1, 101):
        feed.put(arrive(number))
    assert len(listener.got) == 100 and len(feed._chunks) == 1
    engine.gate.set()
    assert _becomes(lambda: feed.source_frame == 100)
    feed.finish()
    taken = [list(chunk.frame_ids) for chunk in engine.chunks]
    assert taken[-1] == [99, 100] and len(taken) <= 2
    figures = feed.figures
    assert figures.skipped == 100 - 2 * len(taken) and figures.dropped == 0
    assert engine.resets == 1 + figures.resets == len(taken)


@pytest.mark.parametrize("policy", ["delay", "lockstep"])
def test_own_pixels_come_in_order_with_their_own_numbers(negative, listener, arrive, policy):
    engine = negative(first=1, frames=4)
    feed = CameraFeed("a", engine, listener, policy=policy)
    for number in range(10, 16):
        feed.put(arrive(number))
    feed.finish()  # the last group is short: it is filled up and delivered all the same
    assert listener.got == [(number, 255 - number) for number in range(10, 16)]
    assert [list(chunk.frame_ids) for chunk in engine.chunks] == [
        [10], [11, 12, 13, 14], [15, 15, 15, 15],
    ]  # fmt: skip
    assert listener.alphas == {255} and feed.figures.age_frames == 0


def test_delay_drops_the_oldest_whole_chunk_and_says_so(negative, listener, arrive):
    engine = negative()
    engine.gate.clear()
    feed = CameraFeed("a", engine, listener, policy="delay")
    feed.put(arrive(1))
    feed.put(arrive(2))
    assert _becomes(lambda: not feed._chunks)  # the worker has it
    for number in range(3, 13):
        feed.put(arrive(number))
    engine.gate.set()
    feed.finish()
    assert [number for number, _ in listener.got] == [1, 2, *range(7, 13)]
    assert feed.figures.dropped == 4 and engine.chunks[1].dropped_before == 4
    assert engine.resets == 2  # at the start, and for the gap


def test_a_gap_resets_the_engine_and_starts_a_first_chunk(negative, listener, arrive):
    engine = negative(first=1, frames=2)
    feed = CameraFeed("a", engine, listener, policy="delay")
    feed.put(arrive(1))
    listener.wait(1)
    for number in (2, 3, 8, 9, 10):
        feed.put(arrive(number))
    feed.finish()
    assert [list(chunk.frame_ids) for chunk in engine.chunks] == [[1], [2, 3], [8], [9, 10]]
    assert [chunk.dropped_before for chunk in engine.chunks] == [0, 0, 4, 0]
    assert engine.resets == 2 and len(listener.got) == 6


def test_pictures_of_another_size_are_scaled_there_and_back(negative, arrive):
    engine = negative(size=(8, 4))
    shapes = []
    feed = CameraFeed("a", engine, lambda _, pixels: shapes.append(pixels.shape), policy="delay")
    feed.put(arrive(1))
    feed.put(arrive(2))
    feed.finish()
    assert engine.chunks[0].frames.shape == (2, 4, 8, 3) and shapes == [(8, 16, 4)] * 2
    focal = 4.0  # of 8 pixels at 90 degrees
    np.testing.assert_allclose(np.diag(engine.chunks[0].intrinsics), [focal, focal, 1.0])


def test_colours_keep_their_order(negative, arrive):
    engine, got = negative(), []
    picture = arrive(1)
    picture.pixels[...] = (10, 20, 30, 0)  # blue, green, red
    feed = CameraFeed("a", engine, lambda _, pixels: got.append(pixels[0, 0]), policy="delay")
    feed.put(picture)
    feed.put(arrive(2))
    feed.finish()
    assert engine.chunks[0].frames[0, 0, 0].tolist() == [30, 20, 10]
    assert got[0].tolist() == [245, 235, 225, 255]


@pytest.mark.parametrize("policy", ["hold", "delay"])
def test_a_listener_that_raises_is_counted_and_named_once(negative, arrive, caplog, policy):
    def listener(payload, pixels) -> None:
        raise LookupError("mine")

    feed = CameraFeed("front", negative(), listener, policy=policy, listener="the callback f")
    for number in range(1, 7):
        feed.put(arrive(number))
    feed.finish()
    assert feed.figures.failures == feed.figures.delivered == 6 and feed.error is None
    assert caplog.text.count("the callback f raised on frame 1 of front") == 1


def test_a_listener_that_takes_long_is_named(negative, arrive, caplog):
    go, inside = threading.Event(), threading.Event()

    def listener(payload, pixels) -> None:
        inside.set()
        assert go.wait(60)

    feed = CameraFeed("front", negative(), listener, policy="delay", listener="the callback f")
    feed.put(arrive(1))
    feed.put(arrive(2))
    assert inside.wait(60)
    feed._busy_since -= BUSY_S  # so much time has passed
    feed.put(arrive(3))
    feed.put(arrive(4))
    go.set()
    feed.finish()
    assert caplog.text.count("the callback f has been busy with one image of front") == 1


@pytest.mark.parametrize("policy", ["hold", "delay"])
def test_after_the_engine_failed_images_come_as_drawn(negative, listener, arrive, policy):
    class Broken(negative):
        def realize(self, chunk):
            raise ArithmeticError("the device is on fire")

    feed = CameraFeed("a", Broken(), listener, policy=policy)
    for number in (1, 2):
        feed.put(arrive(number))
    assert _becomes(lambda: feed.error is not None)
    feed.put(arrive(3))
    listener.wait(3)
    feed.finish()
    assert listener.got == [(1, None), (2, None), (3, None)]
    assert isinstance(feed.error, ArithmeticError)


def test_waiting_for_a_frame_that_came_and_for_one_that_was_delivered(negative, listener, arrive):
    engine = negative()
    engine.gate.clear()
    feed = CameraFeed("a", engine, listener, policy="lockstep")
    feed.put(arrive(1))
    assert feed.wait(1, 0.0) and not feed.wait(2, 0.0) and feed.missing == 1
    feed.put(arrive(2))
    assert feed.missing == 2 and not feed.wait(2, 0.0, delivered=True)
    engine.gate.set()
    assert feed.wait(2, 60.0, delivered=True) and listener.got[-1] == (2, 253)
    feed.put(arrive(3))
    feed.flush()
    assert feed.wait(3, 60.0, delivered=True) and feed.missing == 2
    feed.finish()


def test_finish_may_be_called_by_the_listener(negative, arrive):
    done = threading.Event()

    def listener(payload, pixels) -> None:
        feed.finish()
        done.set()

    feed = CameraFeed("a", negative(), listener, policy="delay")
    feed.put(arrive(1))
    feed.put(arrive(2))
    assert done.wait(60)
    feed.put(arrive(3))
    assert feed.figures.arrived == 2


def _becomes(condition) -> bool:
    pause = threading.Event()
    return any(condition() or pause.wait(0.005) for _ in range(12_000))
