"""The engine's store of keys and values, against the ring cache that training uses."""

import numpy as np
import pytest
import torch

from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.engines.torch.store import Store, move_rows
from realmaster_live.model.cache import RingCache
from realmaster_live.model.copy_counter import CopyCounter
from realmaster_live.model.in_context import rope_at, rotate
from realmaster_live.model.profile import TINY, Profile
from realmaster_live.model.random_weights import random_networks

N = 6  # tokens of a chunk: 2 x 3


def profile_of(ring, sink, **fields):
    return Profile.from_dict({**TINY.as_dict(), "ring": ring, "sink": sink, **fields})


def commit(store, kv, rope):
    """Leave a chunk's keys, rotated, and its values where a commit pass does."""
    for rows, own in zip(store.rows, (rotate(kv[:, 0], rope), kv[:, 1]), strict=True):
        rows[:, :, :N] = own.transpose(2, 3)


@pytest.mark.parametrize("move", [None, move_rows])
@pytest.mark.parametrize(("ring", "sink"), [(1, 0), (1, 1), (3, 0), (2, 2), (0, 1), (0, 0)])
def test_the_store_holds_what_training_attends_to(ring, sink, move):
    """Unrotated keys that training rotates as a whole, and keys that the engine rotates on."""
    profile = profile_of(ring, sink)
    ours, theirs = Store(profile, N, torch.device("cpu")), RingCache(profile)
    shape = (profile.layers, 2, 1, profile.heads, N, profile.head_width)
    generator = torch.Generator().manual_seed(0)
    address = ours.rows[0].data_ptr()
    options = () if move is None else (move,)
    for _ in range(9):
        kv = torch.randn(shape, generator=generator)
        commit(ours, kv, rope_at(profile, [0.0], 2, 3))
        ours.settle(ours.slots, *options)
        ours.step()
        theirs.push(kv)
        assert ours.slots.times == tuple(theirs.times())
        past = theirs.past(kv)
        assert ours.past_tokens == past.shape[4]
        rope = rope_at(profile, theirs.times(), 2, 3)
        expected = rotate(past[:, 0], rope), past[:, 1]
        for seen, part in zip(ours.seen_by_target(ours.past_tokens), expected, strict=True):
            kept = seen[:, :, 2 * N :].transpose(2, 3)
            torch.testing.assert_close(kept, part, atol=1e-5, rtol=1e-5)
    assert ours.rows[0].data_ptr() == address
    ours.reset()
    assert ours.past_tokens == 0


def test_only_the_new_chunk_moves_in_a_ring_of_one():
    store = Store(profile_of(1, 1), N, torch.device("cpu"))
    moved = []

    def count(source, place, turn):
        moved.append(place[0].shape[2])
        move_rows(source, place, turn)

    for _ in range(5):
        store.settle(store.slots, count)
        store.step()
    assert moved == [N] * 5


@torch.no_grad()
def test_passes_write_their_own_rows_and_concatenate_nothing():
    """Bytes are counted operator by operator; before, every pass copied all rows once more."""
    profile = profile_of(1, 1)
    networks = random_networks(profile, torch.device("cpu"))
    with TorchEngine(networks, width=96, height=64, threads=1) as engine:
        for _ in range(3):
            engine._advance([np.zeros((4, 64, 96, 3), np.uint8)])
        expert, store = engine._stages.experts[0], engine._stages.buffers.states[0].store
        with CopyCounter() as counter:
            expert.predict(engine._stages.buffers.noise.clone(), 1.0, store.past_tokens)
    own = 2 * profile.layers * N * profile.width * 4
    assert store.past_tokens == 2 * N
    assert counter.written["copy_"] == own
    assert counter.written["cat"] == 4 * profile.frequency_width  # the timestep's sinusoids


def test_a_profile_without_reference_tokens_has_no_rows_for_them():
    store = Store(profile_of(1, 0, flow_from="render"), N, torch.device("cpu"))
    assert store.rows[0].shape[2] == 2 * N
    assert store.reference()[0].shape[2] == 0
    assert store.seen_by_target(0)[1].shape[2] == N
