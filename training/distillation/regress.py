"""Direct regression of x0 on the paired truth, at the few timesteps that the engine uses.

The past is the truth with noise, and dropped at random, so that the student does not rely on it
(causal teacher forcing). The input sample is a noised truth, or the student's own result of earlier
steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from realmaster_live.model.sampling import add_noise, euler_step, flow_start
from realmaster_live.training.data import torch_rng
from realmaster_live.training.distillation.losses import (
    chroma_matching,
    consistency_loss,
    variance_matching,
)
from realmaster_live.training.distillation.sequence_statistics import as_sequence
from realmaster_live.training.distillation.views import (
    View,
    predict,
    prompt_kv,
    teacher_forced_views,
)
from realmaster_live.training.experts import Network
from realmaster_live.training.iclora.batches import LatentBatch
from realmaster_live.training.losses import huber


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressConfig:
    """Weights of the paired losses, and noise and dropout of the past.

    Attributes:
        weight: weight of the Huber distance to the truth.
        consistency_weight: weight of the Huber distance to the student's own prediction one step
            later on the teacher's path; 0 needs no teacher.
        chroma_weight: weight of the squared log ratio of chroma to the truth's.
        variance_weight: the same for temporal variance; needs several latent frames.
        history_noise: largest noise on the true past, in standard deviations.
        history_dropout: share of chunks without a past.
        own_share: share of batches whose input samples come from the student's own earlier steps.
    """

    weight: float = 1.0
    consistency_weight: float = 0.0
    chroma_weight: float = 0.0
    variance_weight: float = 0.0
    history_noise: float = 0.2
    history_dropout: float = 0.15
    own_share: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentSamples:
    """The student's predictions for a batch, with their input samples.

    Attributes:
        x0: (n, B, ...) predictions, with gradients.
        start: (n, B, ...) input samples. steps: the denoise step of each of n chunks.
        views: the student's conditioning of each chunk; empty without a consistency loss.
    """

    x0: Tensor
    start: Tensor
    steps: tuple[int, ...]
    views: tuple[View, ...] = ()


def noised_history(
    targets: Tensor, rng: np.random.Generator, amount: float
) -> Tensor:  # (n, B, ...)
    """Return the truth with noise of up to `amount` standard deviations, drawn for each sample."""
    generator = torch_rng(rng)
    scale = amount * torch.rand(targets.shape[:2], generator=generator)
    noise = torch.randn(targets.shape, generator=generator)
    return targets + scale.view(*targets.shape[:2], *[1] * (targets.ndim - 2)) * noise


@torch.no_grad()
def reach(
    student: Network, noise: Tensor, seen: View, levels: Sequence[float], step: int
) -> Tensor:
    """Return the input sample of a step, from the student's own earlier steps."""
    x_t = noise
    for t, t_next in pairwise(levels[: step + 1]):
        x0 = predict(student, x_t, torch.full((len(noise),), t), seen)
        x_t = euler_step(x_t, x0, t, t_next)
    return x_t


def teacher_forced(
    student: Network,
    batch: LatentBatch,
    config: RegressConfig,
    levels: Sequence[float],
    rng: np.random.Generator,
    *,
    own: bool | None = None,
) -> StudentSamples:
    """Predict every chunk of a batch at one random step each, with the truth as past.

    `own` selects input samples from the student's own steps; None draws at random.
    """
    own = bool(rng.random() < config.own_share) if own is None else own
    steps = tuple(int(step) for step in rng.integers(len(levels) - 1, size=len(batch.target)))
    past_dropped = rng.random(len(batch.target)) < config.history_dropout
    history = noised_history(batch.target, rng, config.history_noise)
    noise = torch.randn(batch.target.shape, generator=torch_rng(rng))
    noise = flow_start(student.profile, noise, batch.reference)
    views = teacher_forced_views(student, batch.reference, history, prompt_kv(student, batch))
    kept, starts, answers = [], [], []
    for index, (each, step) in enumerate(zip(views, steps, strict=True)):
        seen = each.without_past() if past_dropped[index] else each
        t = torch.full((len(noise[index]),), levels[step])
        if own:
            start = reach(student, noise[index], seen, levels, step)
        else:
            start = add_noise(batch.target[index], noise[index], t)
        starts.append(start)
        answers.append(predict(student, start, t, seen))
        if config.consistency_weight:
            kept.append(seen)
    return StudentSamples(
        x0=torch.stack(answers), start=torch.stack(starts), steps=steps, views=tuple(kept)
    )


def paired_terms(samples: Tensor, targets: Tensor, config: RegressConfig) -> dict[str, Tensor]:
    """Return the weighted losses that compare samples (n, B, ...) with their paired truth."""
    terms = {}
    if config.weight:
        terms["regress"] = config.weight * huber(samples, targets)
    got, truth = as_sequence(samples), as_sequence(targets)
    if config.chroma_weight:
        terms["chroma"] = config.chroma_weight * chroma_matching(got, truth)
    if config.variance_weight and truth.shape[1] > 1:
        terms["variance"] = config.variance_weight * variance_matching(got, truth)
    return terms


def consistency_term(
    student: Network,
    teacher: Network,
    samples: StudentSamples,
    batch: LatentBatch,
    levels: Sequence[float],
) -> Tensor:
    """Return the consistency loss of teacher-forced predictions, except those of the last step.

    The teacher takes one Euler step from the student's input sample. The student's prediction at
    the point that it reaches is the target.
    """
    with torch.no_grad():
        views = [
            *teacher_forced_views(teacher, batch.reference, batch.target, prompt_kv(teacher, batch))
        ]
    losses = []
    for index, step in enumerate(samples.steps):
        t, t_next = levels[step], levels[step + 1]
        if t_next == 0.0:
            continue
        with torch.no_grad():
            times = torch.full((len(samples.start[index]),), t)
            x0 = predict(teacher, samples.start[index], times, views[index])
            x_next = euler_step(samples.start[index], x0, t, t_next)
            target = predict(student, x_next, torch.full_like(times, t_next), samples.views[index])
        losses.append(consistency_loss(samples.x0[index], target))
    return torch.stack(losses).mean() if losses else 0.0 * samples.x0.sum()
