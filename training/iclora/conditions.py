"""Random conditioning of a training step (noise, past, prefix, prompt) as a function of its seed.

Legend: n consecutive chunks, B samples, C latent channels, f latent frames of a chunk, h w latent
height and width, N tokens of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from realmaster_live.errors import ConfigError
from realmaster_live.model.profile import Profile
from realmaster_live.training.data import step_rng
from realmaster_live.training.iclora.timesteps import Timesteps

STEP, NOISE = 22, 23  # purposes of random numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The probabilities of the conditioning.

    Attributes:
        chunks: consecutive chunks of a sample: the loss is on the last, the others are its past. 0
            takes one more than the model's sink and ring hold.
        first_latent: share of samples whose chunk has a clean first latent frame, without loss. If
            a chunk is one latent frame, the past is clean instead.
        sink_elsewhere: share of samples whose sink comes from another clip of the same drive, since
            a live engine's sink shows another place after some minutes.
        history_noise: largest noise on the past, as a share of t = 1.
        history_dropout: share of steps that train on a clip's first chunks, as after a reset, with
            too few earlier chunks to fill sink and ring.
        reference_dropout: share of steps without the render.
        caption_dropout: share of samples with the empty prompt.
    """

    chunks: int = 0
    first_latent: float = 0.2
    sink_elsewhere: float = 0.5
    history_noise: float = 0.2
    history_dropout: float = 0.15
    reference_dropout: float = 0.05
    caption_dropout: float = 0.1

    def __post_init__(self) -> None:
        shares = ("first_latent", "sink_elsewhere", "history_noise", "history_dropout",
                  "reference_dropout", "caption_dropout")  # fmt: skip
        for name in shares:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(
                    f"expected {name} in 0..1, got {getattr(self, name)}: it is a share"
                )
        if self.chunks < 0:
            raise ConfigError(f"expected chunks of 0 or more, got {self.chunks}: 0 fits the model")

    def chunks_for(self, profile: Profile) -> int:
        """Return the chunks of a sample."""
        return self.chunks or profile.sink + profile.ring + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """The conditioning that all samples of a batch share.

    Attributes:
        past: number of chunks before the one with the loss.
        from_start: whether the first of them is the clip's first chunk.
        reference: whether the render is given.
    """

    past: int
    from_start: bool
    reference: bool


def plan_step(conditions: Conditions, profile: Profile, *, seed: int, step: int) -> StepPlan:
    """Return the plan of a batch."""
    rng = step_rng(seed, step, STEP)
    max_past = conditions.chunks_for(profile) - 1
    full_past, given = rng.random(2) >= (conditions.history_dropout, conditions.reference_dropout)
    fewer_chunks = int(rng.integers(max(1, max_past)))
    return StepPlan(
        past=max_past if full_past else fewer_chunks,
        from_start=not full_past,
        reference=bool(given),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleDraws:
    """The random draws of a batch's samples.

    Attributes:
        t: (B,) float32 timesteps.
        noise: the noise to remove, in the shape of a chunk's latent.
        history: (n - 1, ...) noise on the chunks of the past.
        history_t: (B,) float32 timesteps of the noise on the past.
        clean_first: for each sample, whether the prefix is clean.
        no_caption: for each sample, whether the prompt is empty.
    """

    t: Tensor
    noise: Tensor
    history: Tensor
    history_t: Tensor
    clean_first: tuple[bool, ...]
    no_caption: tuple[bool, ...]


def draw_samples(
    conditions: Conditions,
    timesteps: Timesteps,
    *,
    seed: int,
    samples: Sequence[int],
    like: Tensor,  # (n, B, C, f, h, w) or (n, B, C, h, w)
    tokens: int,
    span: tuple[float, float] = (0.0, 1.0),
) -> SampleDraws:
    """Return the draws of samples by their numbers, identical on every device and machine."""
    device = like.device
    t, noise, past, amount, first, caption = [], [], [], [], [], []
    for number in samples:
        rng = step_rng(seed, number, NOISE)
        t.append(timesteps.draw(rng, tokens, span))
        amount.append(conditions.history_noise * rng.random())
        first.append(rng.random() < conditions.first_latent)
        caption.append(rng.random() < conditions.caption_dropout)
        generator = torch.Generator("cpu").manual_seed(int(rng.integers(2**62)))
        shape = (len(like), *like.shape[2:])
        noises = torch.randn(shape, generator=generator, device="cpu")
        noise.append(noises[-1])
        past.append(noises[:-1])
    return SampleDraws(
        t=torch.tensor(t, device=device),
        noise=torch.stack(noise).to(device),
        history=torch.stack(past, 1).to(device),
        history_t=torch.tensor(amount, device=device),
        clean_first=tuple(first),
        no_caption=tuple(caption),
    )


def levels(t: Tensor, clean_first: Sequence[bool], like: Tensor) -> Tensor:
    """Return t of every latent frame, (B, 1, f, 1, 1), or (B, 1, 1, 1) if a chunk is one frame.

    It is 0 at a clean first frame.
    """
    if like.ndim == 4:
        return t.view(-1, 1, 1, 1)
    each = t[:, None].expand(-1, like.shape[2]).clone()
    each[:, 0] = torch.where(torch.tensor(clean_first, device=t.device), 0.0, t)
    return each[:, None, :, None, None]


def token_timesteps(each: Tensor, clean_first: Sequence[bool], tokens: int) -> Tensor:
    """Return timesteps for the transformer: (B,), or (B, N) if latent frames differ."""
    flat = each.flatten(1)
    if flat.shape[1] == 1 or not any(clean_first):
        return flat[:, 0]
    return flat.repeat_interleave(tokens // flat.shape[1], 1)


def masked_error(
    got: Tensor,  # predicted x0
    wanted: Tensor,  # true x0
    each: Tensor,  # levels
    *,
    velocity: bool,
) -> Tensor:  # (B,)
    """Return each sample's mean squared error over the latent frames with noise.

    It is the error of x0, or with `velocity` that of v = eps - x0, which is the error of x0 divided
    by t (Lipman et al. 2023, eq. 23).
    """
    mask = (each > 0).to(got.dtype)
    error = (got - wanted) / each.clamp_min(1e-6) if velocity else got - wanted
    squared = (error * mask).square().flatten(1).mean(1)
    return squared / mask.flatten(1).mean(1)
