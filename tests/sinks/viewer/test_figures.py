import pytest

from realmaster_live.sinks.viewer.figures import SECONDS, Figures


class Clock:
    """Seconds that the test sets."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_each_second_has_its_own_counts_and_medians(clock):
    noted = Figures(clock)
    for latency in (0.1, 0.3, 0.2):
        noted.shown(latency)
        noted.realized(latency / 2, 1)
    noted.dropped(2)
    assert noted.since(0) == []  # the second is not over
    clock.now += 2.5
    noted.shown(0.5)
    first, second = noted.since(0)
    assert (first.shown, first.lost, first.dropped) == (3, 3, 2)
    assert (first.realized_ms, first.shown_ms, first.worst_ms) == (100.0, 200.0, 300.0)
    assert (second.number, second.shown, second.shown_ms) == (1, 0, None)
    assert [one.number for one in noted.since(1)] == [1]
    assert first.as_json()["shown"] == 3


def test_the_last_minutes_are_kept_also_over_a_long_pause(clock):
    noted = Figures(clock)
    noted.shown(0.1)
    clock.now += 10_000
    noted.shown(0.1)
    clock.now += 1
    seconds = noted.since(0)
    assert len(seconds) == SECONDS
    assert [one.number for one in seconds] == list(range(10_001 - SECONDS, 10_001))
    assert seconds[-1].shown == 1


def test_each_second_has_the_means_of_the_loops_stages(clock):
    noted = Figures(clock)
    totals = {"engine": (10, 5.0), "queue": (0, 0.0)}
    noted.begin(lambda: dict(totals))
    totals["engine"] = (12, 5.4)
    clock.now += 1
    (first,) = noted.since(0)
    assert first.stages_ms == {"engine": 200.0}  # neither what was before nor what never was
    totals |= {"engine": (13, 5.5), "queue": (1, 0.25)}
    clock.now += 2
    assert [one.stages_ms for one in noted.since(1)] == [{"engine": 100.0, "queue": 250.0}, {}]
