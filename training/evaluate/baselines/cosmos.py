"""Cosmos-Transfer2.5 (NVIDIA): a film made anew along the edges of the render, by diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from realmaster_live.errors import ConfigError
from realmaster_live.optional import require
from realmaster_live.prompts import describe
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
from realmaster_live.training.pairs.pipelines import DTYPES, load_pipeline, missing_weights
from realmaster_live.training.pairs.stage import Value

GRID_PX = 16
EDGES = (100, 200)  # Canny's thresholds, as its makers draw the control
CHUNK = 93  # frames that are made at once; the pipeline goes on from the last one


@dataclass(frozen=True, kw_only=True)
class CosmosConfig(Options):
    """Table [cosmos].

    Attributes:
        prompt: what the film shows; it describes, it does not instruct.
        frames: most frames of a piece. Within a piece each 93 frames go on from those before.
        revision: the branch of the hub with diffusers' layout.
        controlnet_revision: that of the edges' network. controlnet_folder: a copy of it.
        model: nvidia/Cosmos-Transfer2.5-2B, or another that Cosmos2_5_TransferPipeline loads.
    """

    model: str = "nvidia/Cosmos-Transfer2.5-2B"
    licence: str = "NVIDIA Open Model License"
    revision: str = "diffusers/general"
    controlnet_revision: str = "diffusers/controlnet/general/edge"
    controlnet_folder: str = ""
    prompt: str = describe([])
    steps: int = 36
    guidance: float = 3.0
    pixels: int = 1280 * 704
    frames: int = 277


class Cosmos(DiffusersMethod[CosmosConfig]):
    """Makes pieces anew along their edges."""

    @property
    def parameters(self) -> Mapping[str, Value]:
        """What decides a film: everything but the place of the edges' network."""
        return {k: v for k, v in super().parameters.items() if k != "controlnet_folder"}

    def check(self) -> None:
        """Look for the weights, and for the safety checker that their licence asks for."""
        for package in ("cosmos_guardrail", "torchvision"):
            require(package, extra="cosmos")
        check_weights(self.config, table="cosmos")

    def realize(self, piece: Piece, place: Path) -> Frames:
        """Return the piece made anew."""
        config = self.config
        if self._pipeline is None:
            self._pipeline = load(config)
        frames = prepared(piece, config.pixels, GRID_PX)
        made = self._pipeline(
            controls=as_images(edges(frames)),
            prompt=config.prompt,
            **({"negative_prompt": config.negative_prompt} if config.negative_prompt else {}),
            num_frames_per_chunk=min(CHUNK, len(frames)),
            **sampling(config, piece, frames),
        ).frames[0]
        return as_bytes(made)[: len(piece.frames)]


def edges(frames: Frames) -> Frames:
    """Return Canny's edges, white on black, as pictures of three channels."""
    drawn = [cv2.Canny(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), *EDGES) for each in frames]
    return np.repeat(np.stack(drawn)[..., None], 3, axis=3).astype(np.uint8)


def load(config: CosmosConfig) -> Any:
    """Return the pipeline with the edges' network."""
    kind = require("diffusers", extra="pairs").CosmosControlNetModel
    where = config.controlnet_folder or config.model
    try:
        controlnet = kind.from_pretrained(
            where,
            revision=None if config.controlnet_folder else config.controlnet_revision,
            torch_dtype=DTYPES[config.dtype],
            local_files_only=bool(config.controlnet_folder),
        )
    except OSError as error:
        raise ConfigError(missing_weights(config, error)) from error
    return load_pipeline("Cosmos2_5_TransferPipeline", config, controlnet=controlnet)


def make(config: CosmosConfig) -> Cosmos:
    """Return the method."""
    return Cosmos(config)
