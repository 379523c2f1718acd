import pytest
import torch

from realmaster_live.training.losses import (
    chroma_l1,
    gradient_l1,
    huber,
    l1,
    light_l1,
    psnr,
    pyramid_l1,
    temporal_l1,
    unit,
    unit_distance,
)


def picture(values, frames=1):
    """A (1, T, H, W, 3) picture whose three channels are alike."""
    plane = torch.tensor(values, dtype=torch.float32)
    return plane.view(1, frames, *plane.shape[-2:], 1).expand(-1, -1, -1, -1, 3)


ZERO = picture([[0.0, 0.0], [0.0, 0.0]])


def test_l1_by_hand():
    assert l1(picture([[1.0, -1.0], [0.0, 2.0]])).item() == pytest.approx(1.0)


def test_gradient_by_hand():
    got = picture([[0.0, 1.0], [0.0, 3.0]])
    # across: |1 - 0|, |3 - 0| -> 2; down: |0 - 0|, |3 - 1| -> 1
    assert gradient_l1(got).item() == pytest.approx(3.0)
    assert gradient_l1(ZERO + 5.0).item() == 0.0


def test_temporal_by_hand():
    got = picture([[[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]], frames=2)
    assert temporal_l1(got).item() == pytest.approx(0.5)
    assert temporal_l1(picture([[[3.0, 1.0]], [[3.0, 1.0]]], frames=2)).item() == 0.0


def test_light_by_hand():
    step = picture([[[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]], frames=2)
    assert light_l1(step, size=1).item() == pytest.approx(2.0)  # of the areas, and of the mean
    swap = picture([[[1.0, -1.0], [0.0, 0.0]], [[-1.0, 1.0], [0.0, 0.0]]], frames=2)
    assert light_l1(swap, size=1).item() == pytest.approx(1.0)  # the mean stays
    assert light_l1(swap, size=2).item() == 0.0  # detail that moves is no step of the light


def test_pyramid_by_hand():
    got = picture([[1.0, -1.0, 2.0, 2.0], [1.0, -1.0, 2.0, 2.0], [0.0] * 4, [0.0] * 4])
    # halved: [[0, 2], [0, 0]] -> 0.5; halved again: 0.5
    assert pyramid_l1(got, levels=2).item() == pytest.approx(1.0)


def test_chroma_by_hand():
    assert chroma_l1(picture([[1.0, -1.0], [0.5, 2.0]]), size=2).item() == pytest.approx(0.0)
    red = torch.zeros(1, 1, 2, 2, 3)
    red[..., 0] = 3.0
    # 3, 0, 0 minus 1: |2|, |-1|, |-1|
    assert chroma_l1(red, size=2).item() == pytest.approx(4.0 / 3.0)


def test_huber_by_hand():
    got = torch.tensor([0.5, 3.0])
    assert huber(got, torch.zeros(2)).item() == pytest.approx((0.125 + 2.5) / 2)


def test_psnr_by_hand():
    got = torch.tensor([[0.2, -0.2], [2.0, 2.0]])
    assert psnr(got).tolist() == pytest.approx([20.0, 0.0], abs=1e-4)


def test_unit_distance_is_that_of_the_unit_features():
    torch.manual_seed(0)
    left, right = torch.rand(2, 5, 3, 4), torch.rand(2, 5, 3, 4)
    left[0, :, 1, 1] = 0.0  # features of zero stay zero
    expected = (unit(left) - unit(right)).square().sum(1)
    torch.testing.assert_close(unit_distance(left, right), expected, rtol=1e-4, atol=1e-6)
