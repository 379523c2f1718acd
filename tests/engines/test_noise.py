from itertools import pairwise

import numpy as np

from realmaster_live.engines.noise import ChunkNoise

SHAPE = (1, 3, 4, 6)


def test_noise_follows_from_the_seed_and_the_chunk():
    one, other, third = ChunkNoise(SHAPE, 1), ChunkNoise(SHAPE, 1), ChunkNoise(SHAPE, 2)
    chunks = [one.take() for _ in range(5)]
    for chunk in chunks:
        np.testing.assert_array_equal(chunk, other.take())
    assert not np.array_equal(chunks[0], third.take())
    one.reset()
    np.testing.assert_array_equal(one.take(), chunks[0])


def test_another_seed_goes_on_with_the_chunk_that_is_next():
    noise, other = ChunkNoise(SHAPE, 1), ChunkNoise(SHAPE, 2)
    for one in (noise, other):
        one.take()
    noise.reseed(2)
    assert noise.seed == 2
    np.testing.assert_array_equal(noise.take(), other.take())


def test_no_two_chunks_in_a_row_have_the_same_noise_and_all_the_same_values():
    noise = ChunkNoise((1, 2, 3, *SHAPE[2:]), 0)
    chunks = [noise.take() for _ in range(30)]
    for before, after in pairwise(chunks):
        assert not np.array_equal(before, after)
        np.testing.assert_array_equal(np.sort(before, None), np.sort(after, None))
    assert chunks[0].dtype == np.float32
