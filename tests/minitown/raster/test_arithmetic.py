"""Arithmetic of kernels against numpy's."""

import numpy as np

from realmaster_live.minitown.raster import arithmetic
from realmaster_live.minitown.raster.compilation import kernel


@kernel
def compute(values, down, up, octaves, powers):
    for n in range(len(values)):
        down[n], up[n] = arithmetic.down(values[n]), arithmetic.up(values[n])
        octaves[n] = arithmetic.octaves(abs(values[n]))
        powers[n] = arithmetic.exponential(-abs(values[n]))


def test_arithmetic_is_that_of_numpy():
    whole = np.arange(-40.0, 41.0)
    spread = np.random.default_rng(0).uniform(-100.0, 100.0, 100_000)
    values = np.concatenate([whole, whole + 0.5, 2.0 ** np.arange(-9, 9), spread]).astype("f4")
    values = values[values != 0]
    down, up, octaves = (np.zeros(len(values), np.int64) for _ in range(3))
    powers = np.zeros_like(values)
    compute(values, down, up, octaves, powers)
    assert np.array_equal(down, np.floor(values)) and np.array_equal(up, np.ceil(values))
    assert np.array_equal(octaves, np.floor(np.log2(np.abs(values.astype("f8")))))
    assert np.abs(powers - np.exp(-np.abs(values.astype("f8")))).max() < 2e-7
