"""Arrivals at any rate become ticks of one rate; nothing is lost or made up without a count."""

import numpy as np
import pytest

from realmaster_live.bridges.gtav.clock import ConstantRate


def placed(rate: ConstantRate, *arrivals: float) -> list[list[tuple[int, bool]]]:
    return [[tuple(tick) for tick in rate.place(at)] for at in arrivals]


def test_a_steady_source_of_the_same_rate_gets_every_tick() -> None:
    rate = ConstantRate(20.0)
    settled = placed(rate, *(100.0 + np.arange(50) / 20.0))
    assert settled == [[(number, True)] for number in range(50)]
    assert (rate.left_out, rate.repeated) == (0, 0)


def test_jitter_below_half_a_step_changes_nothing() -> None:
    rate, rng = ConstantRate(20.0), np.random.default_rng(1)
    jitter = np.concatenate([[0.0], rng.uniform(-0.024, 0.024, 99)])
    settled = placed(rate, *(np.arange(100) / 20.0 + jitter))
    assert settled == [[(number, True)] for number in range(100)]


def test_a_faster_source_is_taken_where_it_is_nearest() -> None:
    rate = ConstantRate(10.0)
    arrivals = 0.013 + np.arange(600) / 60.0
    taken = [(tick.number, at) for at in arrivals for tick in rate.place(float(at))]
    assert [number for number, _ in taken] == list(range(100))
    off = [at - arrivals[0] - number / 10.0 for number, at in taken[20:]]  # it has to be learnt
    assert np.abs(off).max() <= 0.5 / 60.0 + 1e-9
    assert (rate.left_out, rate.repeated) == (500, 0)


def test_a_source_half_as_fast_is_held_by_nearest_arrival() -> None:
    rate = ConstantRate(20.0)
    assert placed(rate, 0.0, 0.1, 0.21) == [
        [(0, True)],
        [(1, False), (2, True)],  # tick 1 at 0.05 lies half-way: the earlier picture holds
        [(3, False), (4, True)],
    ]
    assert rate.repeated == 2


def test_the_nearer_neighbour_stands_in() -> None:
    rate = ConstantRate(10.0)
    # ticks at 0.1 and 0.2 lie before and behind the middle of 0.0 and 0.3
    assert placed(rate, 0.0, 0.3) == [[(0, True)], [(1, False), (2, True), (3, True)]]


def test_a_long_silence_is_a_hole() -> None:
    rate = ConstantRate(10.0, hold_s=0.5)
    assert placed(rate, 0.0, 0.9) == [[(0, True)], [(9, True)]]
    assert rate.repeated == 0


@pytest.mark.parametrize(("missing", "following"), [(0, 2), (7, 8)])
def test_after_a_restart_the_clock_may_be_another(missing: int, following: int) -> None:
    rate = ConstantRate(10.0)
    placed(rate, 50.0)
    rate.restart(missing)
    assert placed(rate, 3.0, 3.1) == [[(following, True)], [(following + 1, True)]]


def test_a_restart_before_the_first_arrival_leaves_nothing_out() -> None:
    rate = ConstantRate(10.0)
    rate.restart(5)
    assert placed(rate, 3.0) == [[(0, True)]]


@pytest.mark.parametrize("source_fps", [7.3, 16.0, 19.9, 24.0, 60.0])
def test_every_tick_comes_once_at_any_rate(source_fps: float) -> None:
    rate = ConstantRate(16.0)
    arrivals = np.arange(400) / source_fps
    numbers = [tick.number for at in arrivals for tick in rate.place(float(at))]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) == len(arrivals) - rate.left_out + rate.repeated
    assert abs(len(numbers) - arrivals[-1] * 16.0) <= 1.5
