"""The ring's arithmetic, against a list that keeps what a ring should keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmaster_live.engines.slots import Slots, growing_moves

SIZES = [(0, 1), (1, 1), (0, 3), (2, 2), (1, 4), (2, 0), (0, 0)]


@pytest.mark.parametrize(("sink", "ring"), SIZES)
def test_keeps_the_first_and_the_last_chunks(sink, ring):
    slots, kept = Slots(sink=sink, ring=ring), {}
    for chunk in range(20):
        first, last = range(min(sink, chunk)), range(max(sink, chunk - ring), chunk)
        assert sorted(kept.values()) == [*first, *last]
        assert sorted(kept) == list(range(slots.held))
        for slot, time in enumerate(slots.times):
            if slot >= sink:
                assert kept[slot] == chunk + time
            else:
                assert time == -float(ring + min(sink, chunk) - slot)
        if slots.target is not None:
            kept[slots.target] = chunk
        slots = slots.push()


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 40))
def test_states_are_all_that_follow(sink, ring, chunks):
    slots = start = Slots(sink=sink, ring=ring)
    for _ in range(chunks):
        slots = slots.push()
    assert slots in start.states()
    assert len(start.states()) == sink + max(2 * ring, 1) if ring else sink + 1


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 9))
def test_growing_moves_spread_rows_in_place(rows, old, more):
    new = old + more
    packed = np.random.default_rng(rows).integers(0, 256, (rows, old), np.uint8)
    memory = np.zeros(rows * new, np.uint8)
    memory[: rows * old] = packed.ravel()
    for start, end in growing_moves(rows, old, new):
        aside = memory[start : start + old].copy()
        memory[end : end + old] = aside
    assert np.array_equal(memory.reshape(rows, new)[:, :old], packed)
