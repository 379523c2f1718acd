import math

import pytest
import torch

from realmaster_live.training.distillation.losses import (
    adversarial_loss,
    chroma_matching,
    consistency_loss,
    data_forcing,
    discriminator_loss,
    flow_loss,
    guided,
    matching_gradient,
    r1_penalty,
    surrogate,
    variance_matching,
    velocity,
)
from realmaster_live.training.distillation.sequence_statistics import (
    as_sequence,
    chroma,
    drift,
    temporal_variance,
)


def row(*values):
    return torch.tensor([values], dtype=torch.float32)


def test_velocity_by_hand():
    # x_t = 0.5 * 2 + 0.5 * 4 = 3, v = eps - x0 = 2
    assert velocity(row(3.0), row(2.0), torch.tensor([0.5])).item() == pytest.approx(2.0)


def test_flow_loss_by_hand():
    t = torch.tensor([0.5, 0.25])
    got, truth = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [1.0]])
    assert flow_loss(got, truth, t).item() == pytest.approx((2.0**2 + 4.0**2) / 2)


def test_flow_loss_is_that_of_the_velocities():
    x0, eps, got = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0)).unbind()
    t = torch.tensor([0.3, 0.8])
    x_t = (1 - t[:, None]) * x0 + t[:, None] * eps
    expected = (velocity(x_t, got, t) - (eps - x0)).square().mean()
    assert flow_loss(got, x0, t).item() == pytest.approx(expected.item(), rel=1e-5)


def test_consistency_loss_by_hand_and_its_target_takes_no_gradient():
    at_t, at_next = row(1.0, 5.0).requires_grad_(), row(0.5, 2.0).requires_grad_()
    loss = consistency_loss(at_t, at_next)
    assert loss.item() == pytest.approx((0.125 + 2.5) / 2)
    loss.backward()
    assert at_next.grad is None and at_t.grad.tolist() == [[0.25, 0.5]]


def test_guidance_conventions_differ_by_one():
    conditional, plain = row(2.0), row(1.0)
    assert guided(conditional, plain, 3.0, "standard").item() == pytest.approx(1.0 + 3.0 * 1.0)
    assert guided(conditional, plain, 3.0, "extra").item() == pytest.approx(2.0 + 3.0 * 1.0)
    assert guided(conditional, plain, 1.0, "standard").item() == 2.0
    assert guided(conditional, plain, 0.0, "extra").item() == 2.0


def test_matching_gradient_by_hand():
    x, fake, real = row(1.0, 3.0), row(2.0, 3.0), row(0.0, 0.0)
    # mean |x - real| = 2; (fake - real) / 2
    assert matching_gradient(x, fake, real).tolist() == [[1.0, 1.5]]


def test_matching_gradient_scales_each_sample_by_itself():
    x = torch.tensor([[1.0, 1.0], [10.0, 10.0]])
    fake, real = 2.0 * x, torch.zeros(2, 2)
    assert matching_gradient(x, fake, real).tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_surrogate_has_the_gradient_that_it_was_given():
    x, gradient = row(1.0, 3.0).requires_grad_(), row(0.5, -1.0)
    loss = surrogate(x, gradient)
    assert loss.item() == pytest.approx((0.25 + 1.0) / 4)
    loss.backward()
    assert x.grad.tolist() == [[0.25, -0.5]]  # over two values


def test_data_forcing_by_hand():
    # the teacher answers 3 to the sample and 1 to the truth: the sample is pushed down
    x, real, real_of_truth = row(2.0, 4.0), row(3.0, 3.0), row(1.0, 3.0)
    assert data_forcing(x, real, real_of_truth).tolist() == [[2.0, 0.0]]
    assert data_forcing(x, real, real).tolist() == [[0.0, 0.0]]


def test_data_forcing_in_full_asks_the_teacher_about_the_truth_only():
    x, fake, real, of_truth = torch.randn(4, 1, 6, generator=torch.Generator().manual_seed(1))
    together = matching_gradient(x, fake, real) + data_forcing(x, real, of_truth)
    scale = (x - real).abs().mean()
    torch.testing.assert_close(together, (fake - of_truth) / scale)


def test_adversarial_losses_by_hand():
    real, fake = row(0.0, 2.0), row(0.0, -2.0)
    soft = math.log1p(math.exp(-2.0))
    assert adversarial_loss(fake).item() == pytest.approx((math.log(2) + soft + 2.0) / 2, rel=1e-5)
    assert adversarial_loss(fake, "hinge").item() == pytest.approx(1.0)
    both = discriminator_loss(real, fake).item()
    assert both == pytest.approx(math.log(2) + soft, rel=1e-5)  # each side is (log 2 + soft) / 2
    assert discriminator_loss(real, fake, "hinge").item() == pytest.approx(0.5 + 0.5)


def test_r1_by_hand():
    inputs = torch.tensor([[1.0, 2.0], [0.0, 1.0]], requires_grad=True)
    logits = inputs.square().sum(1, keepdim=True)
    # gradients (2, 4) and (0, 2): squares 20 and 4, halved and averaged
    assert r1_penalty(logits, inputs).item() == pytest.approx(6.0)


def test_chroma_by_hand():
    grey = torch.ones(1, 1, 3, 1, 1)
    red = torch.tensor([3.0, 0.0, 0.0]).view(1, 1, 3, 1, 1)
    assert chroma(grey).item() == 0.0
    assert chroma(red).item() == pytest.approx(4.0 / 3.0)
    assert chroma_matching(red / 2, red).item() == pytest.approx(math.log(2) ** 2, rel=1e-4)
    assert chroma_matching(red, red).item() == 0.0


def test_temporal_variance_by_hand():
    blinks = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1, 1)
    assert temporal_variance(blinks).item() == pytest.approx(1.0)
    assert temporal_variance(torch.ones(1, 2, 1, 1, 1)).item() == 0.0
    found = variance_matching(0.5 * blinks, blinks).item()
    assert found == pytest.approx(math.log(4) ** 2, rel=1e-4)


def test_drift_by_hand():
    """The truth deviates by 1; the last third is brighter by 0.5 and as contrasty as it was."""
    truth = torch.tensor([-1.0, 1.0]).view(1, 1, 1, 1, 2).expand(1, 6, 1, 1, 2)
    tinted = truth + 3.0
    assert drift(tinted, truth).item() == pytest.approx(0.0, abs=1e-6)
    left = truth.clone()
    left[:, -2:] += 0.5
    assert drift(left, truth).item() == pytest.approx(0.25)  # the mean of colour's 0.5 and 0
    pale = truth.clone()
    pale[:, -2:] *= 0.4
    assert drift(pale, truth).item() == pytest.approx(0.3)


def test_chunks_become_sequences_in_order_of_time():
    chunks = torch.arange(2 * 1 * 1 * 3).view(2, 1, 1, 3, 1, 1)  # n, B, C, F, h, w
    assert as_sequence(chunks).flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert as_sequence(chunks[:, :, :, 0]).shape == (1, 2, 1, 1, 1)
