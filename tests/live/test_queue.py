import threading

import pytest

from realmaster_live.errors import ConfigError
from realmaster_live.live.queue import BoundedQueue, QueueClosed


def test_first_in_first_out_and_none_after_the_last():
    queue = BoundedQueue(3, "block")
    for item in "abc":
        queue.put(item)
    queue.finish()
    assert [queue.get() for _ in range(4)] == ["a", "b", "c", None]


def test_block_waits_for_room():
    queue = BoundedQueue(1, "block")
    queue.put(1)
    thread = threading.Thread(target=queue.put, args=(2,))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    assert queue.get() == 1
    thread.join(60)
    assert not thread.is_alive()
    assert queue.get() == 2


def test_drop_oldest_lets_the_newest_win_and_the_next_inherit():
    queue = BoundedQueue(2, "drop_oldest", inherit=lambda dropped, after: f"{dropped}{after}")
    assert [queue.put(item) for item in "abcd"] == [None, None, "a", "ab"]
    assert queue.get() == "abc"
    assert queue.get() == "d"


def test_drop_oldest_in_a_queue_of_one():
    queue = BoundedQueue(1, "drop_oldest", inherit=lambda dropped, after: dropped + after)
    assert [queue.put(1), queue.put(2), queue.put(4)] == [None, 1, 3]
    assert queue.get() == 7


@pytest.mark.parametrize("work", ["get", "put"])
def test_close_wakes_both_ends(work):
    queue = BoundedQueue(1, "block")
    if work == "put":
        queue.put(0)
    woken = []

    def wait():
        try:
            queue.put(1) if work == "put" else queue.get()
        except QueueClosed:
            woken.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    queue.close()
    thread.join(60)
    assert woken == [True]
    assert queue.closed


def test_nonsense_is_refused():
    with pytest.raises(ConfigError, match="1 or more"):
        BoundedQueue(0, "block")
    with pytest.raises(ConfigError, match="'newest'"):
        BoundedQueue(1, "newest")
