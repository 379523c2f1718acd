"""Autoencoders that make latents of clips: the streaming one of our checkpoints, and Wan's.

Latents are normalised with the autoencoder's own mean and deviation of each channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.model.autoencoders.films import encode_film
from realmaster_live.model.checkpoint import (
    AUTOENCODER_FILE,
    PROFILE_FILE,
    load_autoencoder,
    read_profile,
)
from realmaster_live.optional import require
from realmaster_live.system.contents import sha256_of
from realmaster_live.training.pairs.hub import check_place, fetch
from realmaster_live.training.pairs.pipelines import DTYPES

WAN_WEIGHTS = "diffusion_pytorch_model.safetensors"
LICENCE = "Apache-2.0"  # of Wan's autoencoders, and of ours


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which autoencoder it is: a name, the sha256 of its file or "", and its licence."""

    name: str
    sha256: str
    licence: str


class Encoder(Protocol):
    """Turns clips into latents."""

    def encode(self, frames: NDArray[np.uint8]) -> Tensor:  # (T, H, W, 3) -> (C, F, h, w)
        """Return the normalised latents of consecutive frames, float32 on the CPU."""


class StreamingEncoder:
    """The autoencoder of a checkpoint: a chunk after another, with carried memory, as live."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.profile = read_profile(folder)
        self.autoencoder = load_autoencoder(folder, self.profile).requires_grad_(False).to(device)
        self.device = device

    def encode(self, frames: NDArray[np.uint8]) -> Tensor:
        """Return the latents of every whole chunk; frames behind the last one are not encoded."""
        profile = self.profile
        height, width = frames.shape[1:3]
        if height % profile.token_stride or width % profile.token_stride:
            raise PairError(
                f"expected sides of multiples of {profile.token_stride} for the profile "
                f"{profile.name}, got {width}x{height}: set such a size in [plan]"
            )
        if len(frames) < profile.first_frames:
            raise PairError(
                f"expected a chunk of {profile.first_frames} frames, got {len(frames)}: plan "
                "longer clips"
            )
        film = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device)
        return encode_film(self.autoencoder, film, profile.chunk_latents).float().cpu()


class WanEncoder:
    """diffusers' AutoencoderKLWan: the first latent frame is of one frame, each other of four."""

    def __init__(
        self, source: str, *, revision: str, device: torch.device, dtype: str, tiling: bool
    ) -> None:
        diffusers = require("diffusers", extra="training")
        folder = fetch(source, "autoencoder", files=("vae/*",), licence=LICENCE, revision=revision)
        try:
            self.autoencoder = diffusers.AutoencoderKLWan.from_pretrained(
                folder if (folder / WAN_WEIGHTS).exists() else folder / "vae",
                dtype=DTYPES[dtype],
                use_safetensors=True,  # never pickles
            )
        except OSError as error:
            raise ConfigError(
                f"expected a Wan autoencoder in {folder}, got {str(error).splitlines()[0]}: fetch "
                f"it again, as by hf download {source}"
            ) from error
        if tiling:
            self.autoencoder.enable_tiling()
        self.autoencoder.requires_grad_(False).eval().to(device)
        self.device = device

    @torch.no_grad()
    def encode(self, frames: NDArray[np.uint8]) -> Tensor:
        """Return the latents of 4 k + 1 frames."""
        video = torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2)[None]
        pixels = video.to(self.device, self.autoencoder.dtype) * (2.0 / 255.0) - 1.0
        raw = self.autoencoder.encode(pixels).latent_dist.mode().float()
        mean, std = (
            torch.tensor(values, device=raw.device)[:, None, None, None]
            for values in (
                self.autoencoder.config.latents_mean,
                self.autoencoder.config.latents_std,
            )
        )
        normalised: Tensor = (raw[0] - mean) / std
        return normalised.cpu()


def identify(source: str) -> Identity:
    """Return which autoencoder a folder or an id names, without loading it."""
    folder = Path(source)
    if (folder / PROFILE_FILE).exists():
        file = folder / AUTOENCODER_FILE
        return Identity(name=read_profile(folder).name, sha256=_sha256(file), licence=LICENCE)
    check_place(source, "autoencoder")
    found = [path for path in (folder / WAN_WEIGHTS, folder / "vae" / WAN_WEIGHTS) if path.exists()]
    if folder.is_dir() and not found:
        raise ConfigError(
            f"expected {PROFILE_FILE}, {WAN_WEIGHTS} or vae/{WAN_WEIGHTS} in {folder}, got none of "
            "them: name the folder of a checkpoint, a Wan autoencoder or a pipeline"
        )
    name = folder.name if found else source
    return Identity(name=name, sha256=_sha256(found[0]) if found else "", licence=LICENCE)


def load_encoder(source: str, *, revision: str, device: str, dtype: str, tiling: bool) -> Encoder:
    """Return the autoencoder of a folder or an id.

    Raises:
        ConfigError: a Wan autoencoder is not here and cannot be fetched.
        BuildError: the checkpoint is damaged.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if (Path(source) / PROFILE_FILE).exists():
        return StreamingEncoder(Path(source), torch.device(device))
    return WanEncoder(
        source, revision=revision, device=torch.device(device), dtype=dtype, tiling=tiling
    )


def _sha256(path: Path) -> str:
    facts = path.stat()
    return _sha256_of_version(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=8)
def _sha256_of_version(path: Path, changed_ns: int, size: int) -> str:
    del changed_ns, size  # a file that was replaced is read again
    return sha256_of(path)
