"""Rolls out whole validation clips as the live engine does, for the gates.

Legend: n chunks, B samples, T frames, C channels, h w places. A *sequence* is (B, T, C, h, w).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from realmaster_live.errors import PairError
from realmaster_live.model.autoencoders.films import decode_film
from realmaster_live.model.autoencoders.interface import Autoencoder, split
from realmaster_live.training.distillation.gates import GatesConfig, RolledOut, Verdict, judge
from realmaster_live.training.distillation.self_forcing import moving_noise
from realmaster_live.training.distillation.sequence_statistics import as_sequence
from realmaster_live.training.distillation.views import prompt_kv
from realmaster_live.training.experts import Network
from realmaster_live.training.iclora.batches import LatentBatch, LatentPairs, cut, stack_texts
from realmaster_live.training.latents import Rollout
from realmaster_live.training.loop import mixed

MIN_DECODED_STD = 0.02  # standard deviation in [-1, 1] below which a decoder counts as untrained


class Validation:
    """Evaluates students on the validation clips."""

    def __init__(
        self,
        pairs: LatentPairs,
        autoencoder: Autoencoder | None,
        config: GatesConfig,
        levels: Sequence[float],
        *,
        bfloat16: bool,
    ) -> None:
        self.pairs, self.config = pairs, config
        self.levels, self.bfloat16 = levels, bfloat16
        if not pairs.shapes:
            raise PairError(
                "expected clips to validate on, got none: give some clips to the split val"
            )
        self.autoencoder = autoencoder

    def verdict(self, student: Network, levels: Sequence[float] = ()) -> Verdict:
        """Return the gates' verdict on a network's rollouts; every clip uses the same seed.

        `levels` replaces the student's noise levels.
        """
        autoencoder = self.autoencoder
        if autoencoder is not None and not self._decodes_unguided(student, autoencoder):
            autoencoder = None
        rollouts = self._rollouts(student, autoencoder, levels or self.levels)
        return judge(rollouts, self.config, space="latents" if autoencoder is None else "pictures")

    def _decodes_unguided(self, student: Network, autoencoder: Autoencoder) -> bool:
        """Return whether the decoder works unguided; with an untrained one all gates would pass."""
        clip = self._clip(student, 0)
        return bool(pictures(autoencoder, clip.target).std() > MIN_DECODED_STD)

    def _clip(self, student: Network, index: int) -> LatentBatch:
        """Return all chunks of a clip, as a batch of one sample."""
        pair, profile = self.pairs.read(index), student.profile
        chunks = pair.target.shape[1] // profile.chunk_latents
        if not chunks:
            raise PairError(
                f"expected clips of at least {profile.chunk_latents} latent frames to validate on, "
                f"got one of {pair.target.shape[1]}: encode longer clips"
            )
        both = torch.stack((pair.reference.float(), pair.target.float()))
        latents = cut(both, profile, first=0, chunks=chunks).to(torch.get_default_device())
        return LatentBatch(
            reference=latents[0][:, None],
            target=latents[1][:, None],
            prompts=(pair.prompt,),
            text=stack_texts([pair.text]),
            samples=(0,),
            first=(0,),
        )

    @torch.no_grad()
    def _rollouts(
        self, student: Network, autoencoder: Autoencoder | None, levels: Sequence[float]
    ) -> Iterator[RolledOut]:
        for index in range(min(self.config.clips, len(self.pairs.shapes))):
            clip = self._clip(student, index)
            generator = torch.Generator(torch.get_default_device()).manual_seed(0)
            first = torch.randn(clip.target.shape[1:], generator=generator)
            noise = moving_noise(first, len(clip.target))
            with mixed(self.bfloat16):
                rollout, prompt = Rollout(student, levels), prompt_kv(student, clip)
                samples = torch.stack(
                    [
                        rollout.chunk(chunk, eps, prompt)[0]
                        for chunk, eps in zip(clip.reference, noise, strict=True)
                    ]
                )
            latents, truth_latents = as_sequence(samples.float()), as_sequence(clip.target)
            measured = (latents, truth_latents)
            if autoencoder is not None:
                measured = (
                    pictures(autoencoder, samples.float()),
                    pictures(autoencoder, clip.target),
                )
            yield RolledOut(
                latents=latents,
                truth_latents=truth_latents,
                render_latents=as_sequence(clip.reference),
                measured=measured[0],
                measured_truth=measured[1],
            )


@torch.no_grad()
def pictures(autoencoder: Autoencoder, chunks: Tensor) -> Tensor:
    """Return consecutive chunks (n, B, ...) as a sequence of pictures, decoded without the render.

    With the render as guide, the decoder would restore colour and texture that a student has lost.
    """
    frames = [split(chunk) for chunk in chunks]
    latents = torch.cat(frames, 1).transpose(1, 2)
    return decode_film(autoencoder, latents, frames[0].shape[1]).movedim(-1, 2)
