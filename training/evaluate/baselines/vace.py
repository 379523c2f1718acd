"""VACE alone: a film made anew along the edges of the render, from a description, no anchors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from realmaster_live.errors import ConfigError
from realmaster_live.prompts import describe
from realmaster_live.training.evaluate.baselines.baseline import Piece
from realmaster_live.training.evaluate.baselines.diffusion import DiffusersMethod, check_weights
from realmaster_live.training.evaluate.baselines.fitting import Frames
from realmaster_live.training.evaluate.baselines.staged import staged
from realmaster_live.training.pairs import videos
from realmaster_live.training.pairs.edges import EdgesConfig, EdgesStage
from realmaster_live.training.pairs.propagate import PropagateConfig, load_vace, propagate
from realmaster_live.training.pairs.stage import Job


@dataclass(frozen=True, kw_only=True)
class VaceConfig(PropagateConfig):
    """Table [vace]: the keys of [propagate] of pairs, and these.

    Attributes:
        prompt: what the film shows; VACE takes a description, not an instruction.
        pixels: of the pictures that it works on; they keep the render's proportions.
        frames: most frames of a piece; within a piece windows overlap.
    """

    prompt: str = describe([])
    pixels: int = 832 * 480
    frames: int = 401

    def __post_init__(self) -> None:
        PropagateConfig.__post_init__(self)
        if self.method != "vace" or self.control != "edges":
            raise ConfigError(
                f'expected method "vace" and control "edges" in [vace], got "{self.method}" and '
                f'"{self.control}": leave them out'
            )


class Vace(DiffusersMethod[VaceConfig]):
    """Makes pieces anew along their edges."""

    def check(self) -> None:
        """Look for the weights."""
        check_weights(self.config, table="vace")

    def realize(self, piece: Piece, place: Path) -> Frames:
        """Return the piece made anew."""
        config = self.config
        if self._pipeline is None:
            self._pipeline = load_vace(config)
        with staged(piece, config.pixels, config.prompt) as (clip, folder):
            drawn = folder / "edges.mkv"
            EdgesStage(EdgesConfig()).run(Job(clip=clip, inputs={}), drawn)
            made, _ = propagate(self._pipeline, videos.read_gray(drawn), {}, clip, config)
        return made[: len(piece.frames)]


def make(config: VaceConfig) -> Vace:
    """Return the method."""
    return Vace(config)
