"""Distances between sets of pictures, against direct sums and known cases."""

import numpy as np
import pytest
import torch

from realmaster_live.training.evaluate.drives.films import RENDER
from realmaster_live.training.evaluate.drives.sets import (
    Mmd,
    cubic,
    distances_by_method,
    jackknifed,
)
from realmaster_live.training.evaluate.measures.clip_embeddings import gaussian, unit
from realmaster_live.training.evaluate.metrics import kid


def drawn(count, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(shift, 1.0, (count, 6))


def test_the_whole_is_kid_and_each_other_is_kid_without_a_block():
    film, real = drawn(12), drawn(9, 0.3, 1)
    blocks = np.repeat([7, 8, 11], [5, 3, 4])
    found = Mmd(kernel=cubic, real=real, scale=1.0).distances(film, blocks)
    wanted = [kid(film, real), *(kid(film[blocks != block], real) for block in (7, 8, 11))]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_the_distance_is_that_of_torchmetrics():
    reference = pytest.importorskip("torchmetrics.image.kid")
    film, real = drawn(12), drawn(12, 0.3, 1)  # it takes sets of one size
    found = Mmd(kernel=cubic, real=real, scale=1.0).distances(film, np.arange(12))[0]
    wanted = reference.poly_mmd(torch.from_numpy(real), torch.from_numpy(film))
    assert found == pytest.approx(float(wanted))


def test_weights_count_a_photograph_as_often_as_it_is_matched():
    film, real, often = drawn(8), drawn(4, 0.5, 1), np.array([1.0, 3.0, 1.0, 2.0])
    found = Mmd(kernel=cubic, real=real, weights=often, scale=1.0).distances(film, np.arange(8))[0]
    k = cubic(real, real)
    apart = [(i, j) for i in range(4) for j in range(4) if i != j]
    pairs = sum(often[i] * often[j] * k[i, j] for i, j in apart)
    within = pairs / sum(often[i] * often[j] for i, j in apart)
    own = cubic(film, film)
    mean = (own.sum() - np.trace(own)) / (8 * 7)
    across = (cubic(film, real) @ often).sum() / (8 * often.sum())
    assert found == pytest.approx(within + mean - 2 * across)


def test_cmmd_is_its_papers_formula():
    """Jayasumana et al. 2024, eq. 4: of two sets of one vector each, 2 - 2 k(x, y), by 1000."""
    x, y = unit(np.float32([[1, 0]])), unit(np.float32([[0, 2]]))
    found = Mmd(kernel=gaussian, real=y.astype(float), unbiased=False)
    whole = found.distances(x.astype(float), np.zeros(1, int))[0]
    assert whole == pytest.approx(1000 * (2 - 2 * np.exp(-2 / (2 * 10**2))))
    films, real = drawn(4), drawn(3, 0.4, 1)

    def k(x, y):
        return np.exp(-((x - y) ** 2).sum() / 200)

    pairs = [
        sum(k(x, y) for x in one for y in other) / (len(one) * len(other))
        for one, other in ((films, films), (real, real), (films, real))
    ]
    mmd = Mmd(kernel=gaussian, real=real, unbiased=False)
    assert mmd.distances(films, np.arange(4))[0] == pytest.approx(
        1000 * (pairs[0] + pairs[1] - 2 * pairs[2])
    )
    same = Mmd(kernel=gaussian, real=drawn(5), unbiased=False)
    assert same.distances(drawn(5), np.arange(5))[0] == pytest.approx(0, abs=1e-9)


def test_intervals_hold_what_other_draws_give_and_pairs_narrow_them():
    real = drawn(60, 0.0, 99)
    mmd = Mmd(kernel=cubic, real=real)
    others = [mmd.distances(drawn(40, 0.6, n), np.arange(40))[0] for n in range(30)]
    low, high = jackknifed(mmd.distances(drawn(40, 0.6, 50), np.repeat(np.arange(20), 2)))
    assert np.mean([low <= each <= high for each in others]) > 0.7
    films = {RENDER: drawn(40, 0.6, 1), "near": drawn(40, 0.6, 1) * 0.9, "noise": drawn(40, 2, 3)}
    blocks = np.repeat(np.arange(20), 2)
    found = distances_by_method(films, films, lambda film: mmd.distances(films[film], blocks))
    near = found["near"]
    width = near.interval[1] - near.interval[0]
    assert near.against_interval[1] - near.against_interval[0] < 0.6 * width
    assert near.differs and near.against < 0 and found["noise"].against > 0
    assert np.isnan(jackknifed(np.array([1.0, 1.0]))).all()
