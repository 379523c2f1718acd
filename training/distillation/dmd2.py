"""Distribution matching with a critic, and a discriminator on real pairs: DMD2 (Yin et al. 2024).

Teacher and critic evaluate noised samples of the student; the discriminator evaluates those and
noised truths. All of them have the truth as their past, which pulls a drifted rollout back to it.

Legend: n chunks, B samples. Samples and truths are (n, B, ...); all chunks of a sample are at one
time t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from realmaster_live.errors import ConfigError
from realmaster_live.model.profile import Profile
from realmaster_live.model.sampling import add_noise, flow_start
from realmaster_live.training.distillation.discriminator import LatentDiscriminator
from realmaster_live.training.distillation.losses import (
    AdversarialForm,
    GuidanceForm,
    adversarial_loss,
    data_forcing,
    discriminator_loss,
    flow_loss,
    guided,
    matching_gradient,
    r1_penalty,
    surrogate,
)
from realmaster_live.training.distillation.sequence_statistics import as_sequence
from realmaster_live.training.distillation.views import (
    predict,
    prompt_kv,
    teacher_forced_views,
    without_prompt,
)
from realmaster_live.training.experts import Network
from realmaster_live.training.iclora.batches import LatentBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class DMD2Config:
    """The losses on the student's samples.

    Attributes:
        weight: weight of the matching gradient; without it (0), neither critic nor teacher is used.
        critic_steps: optimizer steps of critic and discriminator for each step of the student.
        guidance: classifier-free guidance of the teacher over the prompt; both passes see the
            reference.
        guidance_form: "standard", where 1 is no guidance, or "extra", where 0 is no guidance and w
            stands for the standard w + 1.
        forcing_weight: weight of the data-forcing term, 0 to 1.
        gan_weight: weight of the adversarial loss; without it (0), there is no discriminator.
        gan_form: "non-saturating" or "hinge".
        r1_weight: weight of the discriminator's R1 gradient penalty.
        t_min: smallest timestep at which samples are noised. t_max: the largest.
        shift: shift of these timesteps.
        width: channels of the discriminator. depth: number of its layers.
    """

    weight: float = 1.0
    critic_steps: int = 5
    guidance: float = 1.0
    guidance_form: GuidanceForm = "standard"
    forcing_weight: float = 0.0
    gan_weight: float = 0.03
    gan_form: AdversarialForm = "non-saturating"
    r1_weight: float = 0.0
    t_min: float = 0.02
    t_max: float = 0.98
    shift: float = 5.0
    width: int = 64
    depth: int = 3

    def __post_init__(self) -> None:
        if self.critic_steps < 1:
            raise ConfigError(
                f"expected critic_steps of at least 1, got {self.critic_steps}: 5 is usual"
            )
        if not 0.0 < self.t_min < self.t_max <= 1.0:
            raise ConfigError(
                f"expected 0 < t_min < t_max <= 1, got {self.t_min} and {self.t_max}: "
                "0.02 and 0.98 are usual"
            )

    @property
    def uses_guidance(self) -> bool:
        """Return whether guidance needs the teacher without the prompt as well."""
        return self.guidance != (1.0 if self.guidance_form == "standard" else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noised:
    """Noised chunks, with one time for each sample: t (B,), noise and x_t (n, B, ...)."""

    t: Tensor
    noise: Tensor
    x_t: Tensor


def draw_times(config: DMD2Config, batch: int, generator: torch.Generator) -> Tensor:  # (B,)
    """Return uniform times, shifted (Esser et al. 2024, eq. 23) and clipped to [t_min, t_max]."""
    t = torch.rand(batch, generator=generator)
    t = config.shift * t / (1.0 + (config.shift - 1.0) * t)
    return t.clamp(config.t_min, config.t_max)


def noised(chunks: Tensor, t: Tensor, noise: Tensor) -> Noised:
    """Return chunks (n, B, ...) with noise, each sample at its own time."""
    x_t = torch.stack([add_noise(x, eps, t) for x, eps in zip(chunks, noise, strict=True)])
    return Noised(t=t, noise=noise, x_t=x_t)


class Matching:
    """The teacher, the critic and the discriminator of one distillation.

    Attributes:
        empty_text: (M, text width) embedding of the empty prompt; None without a text encoder.
        critic: a copy of the teacher that learns the student's distribution; None without matching.
        discriminator: None without the adversarial loss.
    """

    def __init__(
        self,
        config: DMD2Config,
        *,
        profile: Profile,
        teacher: Network | None,
        critic: Network | None,
        discriminator: LatentDiscriminator | None,
        empty_text: Tensor | None = None,
    ) -> None:
        self.config, self.profile = config, profile
        self.teacher, self.empty_text = teacher, empty_text
        self.critic, self.discriminator = critic, discriminator

    def starts(self, batch: LatentBatch, generator: torch.Generator) -> Tensor:  # (n, B, ...)
        """Return the start of the flow to each chunk: noise, or the render."""
        noise = torch.randn(batch.target.shape, generator=generator)
        return flow_start(self.profile, noise, batch.reference)

    def student_terms(
        self, samples: Tensor, batch: LatentBatch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the weighted losses of the student's samples, which have gradients."""
        config = self.config
        t = draw_times(config, samples.shape[1], generator)
        eps = self.starts(batch, generator)
        terms = {}
        if config.weight:
            terms["matching"] = config.weight * self.matching(samples, batch, t, eps)
        if self.discriminator is not None:
            logits = self.logits(noised(samples, t, eps), batch.reference)
            terms["gan"] = config.gan_weight * adversarial_loss(logits, config.gan_form)
        return terms

    def matching(self, samples: Tensor, batch: LatentBatch, t: Tensor, eps: Tensor) -> Tensor:
        """Return the surrogate loss of the matching gradient, with data forcing if weighted."""
        assert self.teacher is not None and self.critic is not None
        config = self.config
        x = samples.detach()
        with torch.no_grad():
            noised_chunks = [noised(x, t, eps)]
            (fake,) = scores(self.critic, batch, noised_chunks)
            if config.forcing_weight:
                noised_chunks.append(noised(batch.target, t, eps))
            teacher_x0, *truth = self.teacher_x0(batch, noised_chunks)
            gradients = [matching_gradient(*each) for each in zip(x, fake, teacher_x0, strict=True)]
            for each in truth:
                forced = [data_forcing(*chunk) for chunk in zip(x, teacher_x0, each, strict=True)]
                gradients = [
                    gradient + config.forcing_weight * extra
                    for gradient, extra in zip(gradients, forced, strict=True)
                ]
        return surrogate(samples, torch.stack(gradients))

    def teacher_x0(self, batch: LatentBatch, noised_chunks: Sequence[Noised]) -> list[Tensor]:
        """Return the teacher's x0 of noised chunks, with guidance over the prompt."""
        assert self.teacher is not None
        config, found = self.config, scores(self.teacher, batch, noised_chunks)
        if not config.uses_guidance:
            return found
        plain = without_prompt(self.teacher, batch, self.empty_text)
        return [
            guided(conditional, without, config.guidance, config.guidance_form)
            for conditional, without in zip(
                found, scores(self.teacher, plain, noised_chunks), strict=True
            )
        ]

    def critic_loss(
        self, samples: Tensor, batch: LatentBatch, generator: torch.Generator
    ) -> Tensor:
        """Return the critic's flow loss on samples of the student."""
        assert self.critic is not None
        t = draw_times(self.config, samples.shape[1], generator)
        noisy = noised(samples, t, self.starts(batch, generator))
        (predicted,) = scores(self.critic, batch, [noisy])
        losses = [flow_loss(got, x0, t) for got, x0 in zip(predicted, samples, strict=True)]
        return torch.stack(losses).mean()

    def discriminator_loss(
        self, samples: Tensor, batch: LatentBatch, generator: torch.Generator
    ) -> Tensor:
        """Return the discriminator's loss on truths and samples under the same noise."""
        config = self.config
        t = draw_times(config, samples.shape[1], generator)
        eps = self.starts(batch, generator)
        fake = self.logits(noised(samples, t, eps), batch.reference)
        at_truth = noised(batch.target, t, eps)
        if not config.r1_weight:
            real = self.logits(at_truth, batch.reference)
            return discriminator_loss(real, fake, config.gan_form)
        inputs = at_truth.x_t.transpose(0, 1).requires_grad_()  # samples first
        differentiable = Noised(t=t, noise=eps, x_t=inputs.transpose(0, 1))
        real = self.logits(differentiable, batch.reference)
        penalty = r1_penalty(real, inputs)
        return discriminator_loss(real, fake, config.gan_form) + config.r1_weight * penalty

    def logits(self, noisy: Noised, references: Tensor) -> Tensor:
        """Return the discriminator's logits of whole samples, (B, T, h, w)."""
        assert self.discriminator is not None
        x_t, reference = (as_sequence(x).transpose(1, 2) for x in (noisy.x_t, references))
        out: Tensor = self.discriminator(x_t, reference, noisy.t)
        return out.float()


def scores(network: Network, batch: LatentBatch, noised_chunks: Sequence[Noised]) -> list[Tensor]:
    """Return a network's x0 (n, B, ...) of each of several noised batches.

    The past is the truth. Its keys and those of the reference are held for one chunk at a time.
    """
    views = teacher_forced_views(network, batch.reference, batch.target, prompt_kv(network, batch))
    chunks = [
        [predict(network, noisy.x_t[index], noisy.t, seen) for noisy in noised_chunks]
        for index, seen in enumerate(views)
    ]
    return [torch.stack(each) for each in zip(*chunks, strict=True)]
