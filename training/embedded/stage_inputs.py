"""The inputs of the stages that train on latents, and the preview that validates all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.training.data import Clip
from realmaster_live.training.latents import LatentSequence
from realmaster_live.training.loop import autocast
from realmaster_live.training.previews import next_picture, preview
from realmaster_live.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class StageInputs:
    """Networks and data of a stage.

    Attributes:
        recipe: the run's recipe.
        autoencoder, transformer: the networks as the previous stages left them.
        sequences: the training data. preview_clips: the validation clips.
        samples: folder for the previews.
    """

    recipe: Recipe
    autoencoder: StreamingAutoencoder
    transformer: InContextTransformer
    sequences: Sequence[LatentSequence]
    preview_clips: Sequence[Clip]
    samples: Path

    def preview(self, stage: str) -> dict[str, float]:
        """Write a preview, and return PSNR of validation rollouts in the default steps."""
        picture = next_picture(self.samples, stage)
        with autocast(self.recipe):
            return preview(self.autoencoder, self.transformer, self.preview_clips, picture)
