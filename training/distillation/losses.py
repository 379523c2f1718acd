"""The losses of step distillation as pure functions of float tensors.

x_t = (1 - t) x_0 + t eps, t from 1 (noise) to 0 (clean). `sg` is stop-gradient, as
in the papers. Direct regression on the truth is `training.losses.huber`.

Legend: B samples; latents are (B, ...), times (B,); a *sequence* is (B, T, C, h, w).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from realmaster_live.training.distillation.sequence_statistics import chroma, temporal_variance
from realmaster_live.training.losses import huber

GuidanceForm = Literal["standard", "extra"]
AdversarialForm = Literal["non-saturating", "hinge"]


def over_samples(value: Tensor, like: Tensor) -> Tensor:  # (B,) -> (B, 1, ...)
    """Reshape one value per sample to broadcast with `like`."""
    return value.view(-1, *[1] * (like.ndim - 1))


def velocity(x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """Return v = (x_t - x_0) / t, which is eps - x_0 (Lipman et al. 2023, eq. 23)."""
    return (x_t - x0) / over_samples(t, x_t)


def flow_loss(got: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """Return the mean |v - v_0|^2 of predicted and true x_0 (Lipman et al. 2023, eq. 23).

    The noise of x_t cancels: v - v_0 = (x_0 - predicted x_0) / t. It trains the critic, which
    learns the student's distribution (DMD, Yin et al. 2024, eq. 6, with flow matching's weight).
    """
    return ((got - x0) / over_samples(t, x0)).square().mean()


def consistency_loss(at_t: Tensor, at_next: Tensor) -> Tensor:
    """Return the Huber distance of x_0 at t to sg(x_0) at a later point of the same path.

    The path is the teacher's, and the student itself is the target (Song et al. 2023, eq. 8, with
    mu = 0 as in Song and Dhariwal 2024, section 3.2).
    """
    return huber(at_t, at_next.detach())


def guided(conditional: Tensor, plain: Tensor, guidance: float, form: GuidanceForm) -> Tensor:
    """Return a prediction under classifier-free guidance (Ho and Salimans 2022, eq. 6).

    "standard" is plain + g (conditional - plain), where g = 1 has no effect. "extra" is conditional
    + w (conditional - plain), where w = 0 has no effect; w corresponds to g = w + 1.
    """
    extra = guidance - 1.0 if form == "standard" else guidance
    return conditional + extra * (conditional - plain)


def scaled(direction: Tensor, x: Tensor, real: Tensor) -> Tensor:
    """Return direction / mean|x - mu_real|, with the mean over a sample (DMD, eq. 8)."""
    scale = (x - real).abs().flatten(1).mean(1).clamp_min(1e-6)
    return direction / over_samples(scale, x)


def matching_gradient(x: Tensor, fake: Tensor, real: Tensor) -> Tensor:
    """Return (mu_fake - mu_real) / mean|x - mu_real| (DMD, Yin et al. 2024, eq. 7 and 8).

    x is the student's sample; mu_fake and mu_real are the critic's and the teacher's x_0 of the
    same noised x. The difference of the scores is (mu_real - mu_fake) (1 - t) / t^2, and the weight
    of eq. 8 cancels the factor of t.
    """
    return scaled(fake - real, x, real)


def data_forcing(x: Tensor, real: Tensor, real_of_truth: Tensor) -> Tensor:
    """Return (mu_real(x_t) - mu_real(y_t)) / mean|x - mu_real(x_t)|, to be added to the gradient.

    Both are the teacher's x_0 at the same t and noise, of the student's sample x and of its paired
    truth y. The term penalizes what the teacher prefers but the truth lacks, such as too much
    colour. The idea is that of Data-Forcing Distillation (arXiv 2606.18478); with pairs, every x
    has a y.
    """
    return scaled(real - real_of_truth, x, real)


def surrogate(x: Tensor, gradient: Tensor) -> Tensor:
    """Return mean (x - sg(x - g))^2 / 2, whose gradient in x is g / (number of values)."""
    return 0.5 * (x - (x - gradient).detach()).square().mean()


def adversarial_loss(fake: Tensor, form: AdversarialForm = "non-saturating") -> Tensor:
    """Return the student's adversarial loss for logits of its samples, of any shape.

    "non-saturating" is mean softplus(-D) (Goodfellow et al. 2014, section 3); "hinge" is -mean D
    (Miyato et al. 2018, eq. 17).
    """
    return functional.softplus(-fake).mean() if form == "non-saturating" else -fake.mean()


def discriminator_loss(
    real: Tensor, fake: Tensor, form: AdversarialForm = "non-saturating"
) -> Tensor:
    """Return the discriminator's loss for logits of truth and of samples, of any shape.

    Mean softplus(-D(real)) + softplus(D(made)), or mean relu(1 - D(real)) + relu(1 + D(made)).
    """
    if form == "non-saturating":
        return functional.softplus(-real).mean() + functional.softplus(fake).mean()
    return functional.relu(1.0 - real).mean() + functional.relu(1.0 + fake).mean()


def r1_penalty(real: Tensor, inputs: Tensor) -> Tensor:  # logits (B, ...) of inputs (B, ...)
    """Return mean |dD / dx|^2 / 2 on the truth (Mescheder et al. 2018, eq. 9, gamma 1)."""
    (gradient,) = torch.autograd.grad(real.flatten(1).mean(1).sum(), inputs, create_graph=True)
    return 0.5 * gradient.square().flatten(1).sum(1).mean()


def chroma_matching(got: Tensor, truth: Tensor) -> Tensor:  # sequences
    """Return the mean squared log ratio of the samples' chroma to the truth's."""
    return log_ratio(chroma(got), chroma(truth)).square().mean()


def variance_matching(got: Tensor, truth: Tensor) -> Tensor:  # sequences
    """Return the mean squared log ratio of the samples' temporal variance to the truth's."""
    return log_ratio(temporal_variance(got), temporal_variance(truth)).square().mean()


def log_ratio(got: Tensor, truth: Tensor, floor: float = 1e-6) -> Tensor:
    """Return log(got / truth), finite also if either is zero."""
    return torch.log((got + floor) / (truth + floor))
