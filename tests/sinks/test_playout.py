import threading

import pytest

from realmaster_live.sinks.playout import CATCH_UP, LONGEST_S, Playout


def test_pictures_are_taken_in_order_with_their_duration():
    playout = Playout()
    playout.put("ab", 0.2)
    assert [playout.take(), playout.take()] == [("a", 0.2), ("b", 0.2)]
    assert playout.take() is None
    assert (playout.shown, playout.dropped) == (2, 0)


def test_a_duration_is_bounded():
    playout = Playout()
    playout.put("a", 99.0)
    assert playout.take() == ("a", LONGEST_S)
    playout.put("b", -1.0)
    assert playout.take() == ("b", 0.0)


def test_while_a_further_chunk_waits_pictures_stay_for_a_shorter_time():
    playout = Playout()
    playout.put("ab", 0.1)
    playout.put("cd", 0.1)
    durations = [playout.take()[1] for _ in range(4)]
    assert durations == pytest.approx([0.1 * CATCH_UP, 0.1 * CATCH_UP, 0.1, 0.1])


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_no_more_than_so_many_chunks_wait(keep):
    playout = Playout(keep_chunks=keep)
    for chunk in ("ab", "cd", "ef", "gh"):
        playout.put(chunk, 0.0)
    left = ""
    while (found := playout.take()) is not None:
        left += found[0]
    assert left == "abcdefgh"[-2 * keep :]
    assert (playout.dropped, playout.shown) == (8 - 2 * keep, 2 * keep)


def test_a_shorter_chunk_bounds_what_waits():
    playout = Playout()
    playout.put(range(64), 0.0)
    playout.put([64], 0.0)
    assert [playout.take()[0], playout.take()[0], playout.take()] == [63, 64, None]


def test_a_thread_that_waits_gets_what_is_put():
    playout, found = Playout(), []
    thread = threading.Thread(target=lambda: found.append(playout.take(10.0)))
    thread.start()
    playout.put("a", 0.5)
    thread.join(60)
    assert found == [("a", 0.5)]
