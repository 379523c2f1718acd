"""The frozen base model of an adapter, from a checkpoint of ours or of diffusers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.model.checkpoint import (
    AUTOENCODER_FILE,
    PROFILE_FILE,
    TRANSFORMER_FILES,
    load_into,
    read_profile,
    read_tensors,
)
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.lora_facts import Expert
from realmaster_live.model.precision import mix_precision
from realmaster_live.model.profile import PROFILES, Profile
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.training.checkpoints import digest_of

EXPERT_FOLDERS = ("transformer", "transformer_2")  # diffusers' names


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseConfig:
    """The choice of base model.

    Attributes:
        checkpoint: a folder that training wrote, or a diffusers folder (of a pipeline, or of its
            transformer).
        profile: profile that makes a diffusers model chunk-causal; sizes come from the checkpoint.
        expert: "high_noise" or "low_noise" of two experts; empty for a single model.
        name: id of the model, for the adapter's header.
        licence: of the model, for the adapter's header.
    """

    checkpoint: str = ""
    profile: str = "wan-1.3b-480"
    expert: str = ""
    name: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ConfigError(
                f"expected a profile among {', '.join(PROFILES)}, got {self.profile!r}: "
                "take one of them"
            )
        if self.expert not in ("", "high_noise", "low_noise"):
            raise ConfigError(
                f"expected expert high_noise or low_noise, got {self.expert!r}: leave it out for a "
                "single model"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A loaded base model with its metadata.

    Attributes:
        transformer: in evaluation mode, on the CPU.
        autoencoder: the autoencoder of a checkpoint of ours; None for a diffusers model, whose
            latents are encoded beforehand.
        expert: which of two experts it is.
        span: the range of timesteps that it serves.
        name: id of the model. licence: of the model. sha256: of its weights.
        folder: the folder that it was read from.
    """

    transformer: InContextTransformer
    autoencoder: StreamingAutoencoder | None
    expert: Expert | None
    span: tuple[float, float]
    name: str
    licence: str
    sha256: str
    folder: Path

    @property
    def profile(self) -> Profile:
        """Return the model's sizes."""
        return self.transformer.profile


def load_base(config: BaseConfig) -> Base:
    """Read a model.

    Raises:
        ConfigError: the recipe names no folder, or does not choose an expert.
        BuildError: the folder holds no model, or a damaged one.
    """
    if not config.checkpoint:
        raise ConfigError(
            "expected a model to train on, got none: give --base FOLDER or checkpoint in [base]"
        )
    folder = Path(config.checkpoint).expanduser()
    own = (folder / PROFILE_FILE).is_file()
    profile = read_profile(folder) if own else PROFILES[config.profile]
    place = _place(profile, config)
    files = [folder / TRANSFORMER_FILES[place]] if own else _diffusers_files(folder, place)
    tensors: dict[str, Tensor] = {}
    for path in files:
        tensors |= read_tensors(path)
    if not own:
        profile = sized(profile, _config(files[0].parent))
    with torch.device("cpu"):
        transformer = InContextTransformer(profile)
        load_into(transformer, tensors, source=str(files[0].parent))
        autoencoder = StreamingAutoencoder(profile) if own else None
    if autoencoder is not None:
        load_into(autoencoder, read_tensors(folder / AUTOENCODER_FILE), source=str(folder))
        autoencoder.eval().requires_grad_(False)
    high, low = (profile.expert_boundary, 1.0), (0.0, profile.expert_boundary)
    two = profile.experts == 2
    return Base(
        transformer=transformer.eval(),
        autoencoder=autoencoder,
        expert=("high_noise", "low_noise")[place] if two else None,
        span=(high, low)[place] if two else (0.0, 1.0),
        name=config.name or profile.name,
        licence=config.licence or "unknown",
        sha256=hash_of(files),
        folder=folder,
    )


def hash_of(files: list[Path]) -> str:
    """Return the sha256 of a weight file, or of the hashes of several in the order of names."""
    digests = [digest_of(path) for path in files]
    return digests[0] if len(files) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def sized(profile: Profile, config: dict[str, Any]) -> Profile:
    """Return the profile with the sizes in a diffusers model's config.json."""
    try:
        heads = int(config["num_attention_heads"])
        sizes: dict[str, Any] = {
            "width": heads * int(config["attention_head_dim"]),
            "heads": heads,
            "layers": int(config["num_layers"]),
            "hidden": int(config["ffn_dim"]),
            "text_width": int(config["text_dim"]),
            "frequency_width": int(config["freq_dim"]),
            "latent_channels": int(config["in_channels"]),
            "patch": int(config["patch_size"][1]),
        }
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BuildError(
            f"expected the config.json of a WanTransformer3DModel, got {config} without {error}: "
            "give the transformer folder of a Wan text-to-video model"
        ) from error
    return dataclasses.replace(profile, **sizes)


def prepare(base: Base, *, weights: str, device: torch.device) -> None:
    """Freeze a model, store its linear weights as fp32, bf16 or int8, and move it to the device."""
    from realmaster_live.training.iclora.int8 import freeze_int8

    base.transformer.requires_grad_(False)
    if weights == "int8":
        freeze_int8(base.transformer)
    elif weights == "bf16":
        mix_precision(base.transformer)
    base.transformer.to(device)
    if base.autoencoder is not None:
        base.autoencoder.to(device)


def _place(profile: Profile, config: BaseConfig) -> int:
    """Return the index of the chosen expert; ConfigError if recipe and model disagree."""
    if (profile.experts == 2) != bool(config.expert):
        raise ConfigError(
            f"expected {'an' if profile.experts == 2 else 'no'} expert for {profile.name}, which "
            f"has {profile.experts}, got {config.expert or 'none'}: set expert in [base]"
        )
    return 1 if config.expert == "low_noise" else 0


def _diffusers_files(folder: Path, place: int) -> list[Path]:
    """Return a transformer's safetensors files, by name."""
    inner = folder / EXPERT_FOLDERS[place]
    where = inner if inner.is_dir() else folder
    files = sorted(where.glob("diffusion_pytorch_model*.safetensors"))
    if not files or not (where / "config.json").is_file():
        raise BuildError(
            f"expected a checkpoint of ours ({PROFILE_FILE}) or of diffusers (config.json, "
            f"diffusion_pytorch_model*.safetensors) in {folder}, got neither: download one, such "
            "as Wan-AI/Wan2.1-T2V-1.3B-Diffusers (Apache-2.0), or give its folder"
        )
    return files


def _config(folder: Path) -> dict[str, Any]:
    """Return a diffusers model's configuration."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    except ValueError as error:
        raise BuildError(
            f"expected JSON in {folder / 'config.json'}, got {error}: download the model again"
        ) from error
    return config
