"""What methods share whose networks diffusers loads: their options, consent, sizes, and noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from realmaster_live.errors import ConfigError
from realmaster_live.optional import require
from realmaster_live.training.evaluate.baselines.baseline import PROMPT, Piece
from realmaster_live.training.evaluate.baselines.fitting import (
    Frames,
    fitted_size,
    four_k_plus_one,
    lengthened,
    resized,
)
from realmaster_live.training.pairs.pipelines import Weights
from realmaster_live.training.pairs.preflight import check_pipeline
from realmaster_live.training.pairs.stage import Value

PLACES = ("folder", "device", "offload", "accept_licence", "licence")  # change no picture


@dataclass(frozen=True, kw_only=True)
class Options(Weights):
    """The options of a method of diffusers.

    Attributes:
        accept_licence: consent to the weights' licence, where it asks for one.
        prompt: what the film is to become. negative_prompt: what guidance leads away from.
        steps: denoising steps. guidance: classifier-free guidance scale, 1 for none.
        pixels: of the pictures that the network works on; they keep the render's proportions.
        seed: with the piece's own bytes, of its noise.
    """

    accept_licence: str = ""
    prompt: str = PROMPT
    negative_prompt: str = ""
    steps: int = 30
    guidance: float = 5.0
    pixels: int = 832 * 480
    seed: int = 0


class HasFrames(Protocol):
    """Options that say how many frames a piece has at most."""

    @property
    def frames(self) -> int:
        """The most frames of a piece."""


Config = TypeVar("Config", bound=HasFrames)


class DiffusersMethod(Generic[Config]):
    """A method whose networks diffusers loads, when its first piece is made."""

    def __init__(self, config: Config, pipeline: Any = None) -> None:
        """Take the options, and the networks if they are loaded already."""
        self.config = config
        self._pipeline = pipeline

    def window(self, fps: float) -> int:
        """Return the most frames of a piece."""
        return self.config.frames

    @property
    def parameters(self) -> Mapping[str, Value]:
        """What decides a film."""
        return parameters(self.config)


def sampling(options: Options, piece: Piece, frames: Frames) -> dict[str, Any]:
    """Return the arguments of a pipeline's call that are alike for all of them."""
    return {
        "height": frames.shape[1],
        "width": frames.shape[2],
        "num_frames": len(frames),
        "num_inference_steps": options.steps,
        "guidance_scale": options.guidance,
        "generator": noise(options.seed, piece),
        "output_type": "np",
    }


def parameters(options: Any) -> Mapping[str, Value]:
    """Return the options that decide a film."""
    return {name: value for name, value in asdict(options).items() if name not in PLACES}


def check_weights(options: Weights, *, accept: str = "", accepted: str = "", table: str) -> None:
    """Raise ConfigError unless a pipeline's weights may be used, and are here or can be fetched."""
    if accept and accepted != accept:
        raise ConfigError(
            f"expected consent to the licence of {options.model} ({options.licence}: no commercial "
            f'use), got none: read it and write accept_licence = "{accept}" into [{table}]'
        )
    require("ftfy", extra="pairs")  # the pipelines clean prompts with it, and miss it too late
    check_pipeline(options.model, options.folder, options.revision, licence=options.licence)


def prepared(piece: Piece, pixels: int, grid: int) -> Frames:
    """Return a piece's frames in a network's size, 4 k + 1 of them: the last one is repeated."""
    frames = resized(piece.frames, fitted_size(piece.size, pixels, grid))
    return lengthened(frames, four_k_plus_one(len(frames)))


def noise(seed: int, piece: Piece) -> torch.Generator:
    """Return the generator of a piece's noise."""
    return torch.Generator().manual_seed((seed << 40) ^ int(piece.sha256[:12], 16))


def as_images(frames: Frames) -> list[Any]:
    """Return frames as pictures of PIL, which pipelines take."""
    return [Image.fromarray(each) for each in frames]


def as_bytes(frames: NDArray[np.floating]) -> Frames:  # (T, H, W, 3) in [0, 1]
    """Return frames as uint8."""
    return np.asarray(np.rint(255 * np.clip(frames, 0, 1)), np.uint8)
