"""LucyEdit (Decart): a film edited by an instruction, with open weights, by diffusers.

The rendered latents stand beside the noise as further channels of Wan2.2-TI2V-5B.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from realmaster_live.training.evaluate.baselines.baseline import Piece
from realmaster_live.training.evaluate.baselines.diffusion import (
    DiffusersMethod,
    Options,
    as_bytes,
    as_images,
    check_weights,
    prepared,
    sampling,
)
from realmaster_live.training.evaluate.baselines.fitting import Frames
from realmaster_live.training.pairs.pipelines import load_pipeline

ACCEPT = "lucy-edit-dev-non-commercial"
GRID_PX = 32  # its autoencoder's 16, and patches of 2


@dataclass(frozen=True, kw_only=True)
class LucyeditConfig(Options):
    """Table [lucyedit].

    Attributes:
        accept_licence: "lucy-edit-dev-non-commercial".
        frames: most frames of a piece; 81 is what it was made for.
        model: decart-ai/Lucy-Edit-Dev, decart-ai/Lucy-Edit-1.1-Dev, or another that
            LucyEditPipeline loads.
    """

    model: str = "decart-ai/Lucy-Edit-Dev"
    licence: str = "lucy-edit-dev-model-non-commercial-v1.0"
    steps: int = 50
    frames: int = 81


class LucyEdit(DiffusersMethod[LucyeditConfig]):
    """Edits pieces by one instruction."""

    def check(self) -> None:
        """Look for consent and weights."""
        accepted = self.config.accept_licence
        check_weights(self.config, accept=ACCEPT, accepted=accepted, table="lucyedit")

    def realize(self, piece: Piece, place: Path) -> Frames:
        """Return the piece edited."""
        config = self.config
        if self._pipeline is None:
            self._pipeline = load_pipeline("LucyEditPipeline", config, float32="vae")
        frames = prepared(piece, config.pixels, GRID_PX)
        made = self._pipeline(
            video=as_images(frames),
            prompt=config.prompt,
            negative_prompt=config.negative_prompt,
            **sampling(config, piece, frames),
        ).frames[0]
        return as_bytes(made)[: len(piece.frames)]


def make(config: LucyeditConfig) -> LucyEdit:
    """Return the method."""
    return LucyEdit(config)
