"""The frozen base model of an adapter, from a checkpoint of ours or of diffusers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.model.autoencoders.interface import Autoencoder
from realmaster_live.model.checkpoint import (
    AUTOENCODER_FILE,
    FACTS,
    LATENTS_OF,
    PROFILE_FILE,
    TRANSFORMER_FILES,
    load_autoencoder,
    load_into,
    read_profile,
    read_tensors,
)
from realmaster_live.model.diffusers_folder import (
    WEIGHTS,
    check_pipeline,
    expert_folders,
    sized,
    transformer_config,
    weight_files,
)
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.lora_facts import Expert, check_base
from realmaster_live.model.lora_files import read_facts
from realmaster_live.model.precision import mix_precision
from realmaster_live.model.profile import PROFILES, Profile
from realmaster_live.model.tensor_files import hash_tensors, read_shards
from realmaster_live.system.contents import sha256_of


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseConfig:
    """The choice of base model.

    Attributes:
        checkpoint: a folder that training wrote, or a diffusers folder of a pipeline or its
            transformer.
        profile: the profile that makes a diffusers model chunk-causal; sizes come from the model.
        expert: "high_noise" or "low_noise" if there are two experts; empty for a single model.
        name: the model's id in the adapter's header.
        licence: the model's licence in the adapter's header.
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
        transformer: the network in evaluation mode, on the CPU.
        autoencoder: the autoencoder of one of our checkpoints; None for a diffusers model, whose
            latents are encoded in advance.
        expert: the expert, if there are two.
        span: the range of timesteps that the transformer serves.
        name: the model's id. licence: the model's licence. sha256: hash of its tensors.
        files: the transformer's files. folder: the folder that it was read from.
        latents_of: sha256 of the files of autoencoders that make its latents, as far as known.
    """

    transformer: InContextTransformer
    autoencoder: Autoencoder | None
    expert: Expert | None
    span: tuple[float, float]
    name: str
    licence: str
    sha256: str
    files: tuple[Path, ...]
    folder: Path
    latents_of: frozenset[str] = frozenset()

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
    is_ours = (folder / PROFILE_FILE).is_file()
    profile = profile_of(config)
    index = _expert_index(profile, config)
    files = [folder / TRANSFORMER_FILES[index]] if is_ours else _diffusers_files(folder, index)
    tensors: dict[str, Tensor] = {}
    for path in files:
        tensors |= read_tensors(path)
    if not is_ours:
        profile = sized(profile, transformer_config(files[0].parent))
    with torch.device("cpu"):
        transformer = InContextTransformer(profile)
        load_into(transformer, tensors, source=str(files[0].parent))
        autoencoder = load_autoencoder(folder, profile) if is_ours else None
    if autoencoder is not None:
        autoencoder.requires_grad_(False)
    high, low = (profile.expert_boundary, 1.0), (0.0, profile.expert_boundary)
    two = profile.experts == 2
    return Base(
        transformer=transformer.eval(),
        autoencoder=autoencoder,
        expert=("high_noise", "low_noise")[index] if two else None,
        span=(high, low)[index] if two else (0.0, 1.0),
        name=config.name or profile.name,
        licence=config.licence or "unknown",
        sha256=hash_tensors(read_shards(files)),
        files=tuple(files),
        folder=folder,
        latents_of=autoencoder_hashes(folder),
    )


def autoencoder_hashes(folder: Path) -> frozenset[str]:
    """Return the sha256 of a folder's autoencoder files, and of those that they were made from."""
    files = [folder / AUTOENCODER_FILE, folder / "vae" / f"{WEIGHTS}.safetensors"]
    facts = folder / FACTS
    known = json.loads(facts.read_text()).get(LATENTS_OF, []) if facts.is_file() else []
    return frozenset([*known, *(sha256_of(path) for path in files if path.is_file())])


def check_latents_of(base: Base, sha256: str) -> None:
    """Raise BuildError if latents were made by another autoencoder than the model's."""
    if sha256 and base.latents_of and sha256 not in base.latents_of:
        known = " or ".join(sorted(digest[:12] for digest in base.latents_of))
        raise BuildError(
            f"expected latents of the autoencoder with sha256 {known} for {base.folder}, got "
            f"shards of {sha256[:12]}: encode the pairs with that model's autoencoder"
        )


def profile_of(config: BaseConfig) -> Profile:
    """Return the profile of the chosen model; for a diffusers model, before `sized`."""
    folder = Path(config.checkpoint).expanduser()
    is_ours = (folder / PROFILE_FILE).is_file()
    return read_profile(folder) if is_ours else PROFILES[config.profile]


def check_adapter(path: Path, base: Base) -> None:
    """Raise BuildError for a LoRA that names other base weights than these.

    The first versions stored a hash of the base's files instead of one of its tensors.
    """
    facts = read_facts(path)
    if facts is not None and facts.base_sha256 not in ("", base.sha256):
        digests = [sha256_of(file) for file in base.files]
        combined = hashlib.sha256("".join(digests).encode()).hexdigest()
        files = digests[0] if len(digests) == 1 else combined
        check_base(path, facts, files if facts.base_sha256 == files else base.sha256)


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


def _expert_index(profile: Profile, config: BaseConfig) -> int:
    """Return the index of the chosen expert; ConfigError if recipe and model disagree."""
    if (profile.experts == 2) != bool(config.expert):
        raise ConfigError(
            f"expected {'an' if profile.experts == 2 else 'no'} expert for {profile.name}, which "
            f"has {profile.experts}, got {config.expert or 'none'}: set expert in [base]"
        )
    return 1 if config.expert == "low_noise" else 0


def _diffusers_files(folder: Path, index: int) -> list[Path]:
    """Return the safetensors files of a transformer of a Wan pipeline."""
    check_pipeline(folder)
    experts = expert_folders(folder)
    expert_folder = experts[min(index, len(experts) - 1)]
    transformer_config(expert_folder)
    return weight_files(expert_folder)
