"""The autoencoder that goes with a model: chosen when a pipeline is imported, or in its place.

A checkpoint that was imported with another autoencoder than Wan's own keeps that one beside it, in
`CHECKPOINT/wan`, for recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.model import diffusers_folder as pipeline
from realmaster_live.model.autoencoders import taehv
from realmaster_live.model.autoencoders.interface import Autoencoder
from realmaster_live.model.autoencoders.opening import LAYOUT_FILE, check_latents
from realmaster_live.model.autoencoders.wan import Layout, WanAutoencoder
from realmaster_live.model.checkpoint import (
    AUTOENCODER_FILE,
    PROFILE_FILE,
    load_autoencoder,
    load_into,
    read_profile,
    read_tensors,
    write_tensors,
)
from realmaster_live.model.profile import Profile
from realmaster_live.model.tensor_files import (
    StoredTensor,
    check_tensors,
    copy_tensors,
    read_shards,
    stored_tensors,
)
from realmaster_live.system.atomic_files import write_json
from realmaster_live.system.contents import classify_file, sha256_of

WAN: Final = "wan"  # a kind, and the folder in a checkpoint
TAEHV: Final = "taehv"
OURS: Final = "ours"
PIPELINE_FOLDER = "vae"  # of a pipeline in diffusers' layout
TAEHV_LICENCE = "MIT"  # of madebyollin/taehv
SIZES_OF_OURS = ("half", "fine", "middle", "deep", "memory", "falling")


def write_autoencoder(
    source: Path, target: Path, profile: Profile, choice: str
) -> tuple[Profile, dict[str, Any]]:
    """Write the autoencoder of a choice into a checkpoint; return the profile for it, and facts.

    `choice` is "wan", "taehv:FILE" or "ours:FOLDER", and `source` the pipeline's folder. Where it
    is another one than Wan's own, and the pipeline has that, it is kept beside.

    Raises:
        BuildError: a file is missing or damaged, or is for other latents.
        ConfigError: the choice is none of them.
    """
    kind, _, place = choice.partition(":")
    licence = pipeline.stated_licence(source) or "unknown"
    if (kind, bool(place)) == (WAN, False):
        _copy_wan(source / PIPELINE_FOLDER, target, profile)
        return replace(profile, autoencoder=WAN), {"kind": kind, "licence": licence}
    if (kind, bool(place)) == (TAEHV, True):
        file = Path(place)
        network = read_taehv(file, profile)
        write_tensors(target / AUTOENCODER_FILE, network.state_dict())
        about = {"kind": kind, "file": file.name, "sha256": sha256_of(file)}
        chosen, licence = replace(profile, autoencoder=TAEHV), TAEHV_LICENCE
    elif (kind, bool(place)) == (OURS, True):
        chosen, licence, about = _fit_ours(Path(place), profile), "Apache-2.0", {"kind": kind}
        copy_tensors(stored_tensors(Path(place) / AUTOENCODER_FILE), target / AUTOENCODER_FILE)
    else:
        raise ConfigError(
            f"expected taehv:FILE, wan or ours:FOLDER as the autoencoder, got {choice!r}: take one "
            "of them"
        )
    if (source / PIPELINE_FOLDER).is_dir():
        _copy_wan(source / PIPELINE_FOLDER, target / WAN, profile)
    return chosen, {**about, "licence": licence}


def open_autoencoder(choice: str, checkpoint: Path) -> Autoencoder:
    """Return the autoencoder that takes the place of a checkpoint's own, in evaluation mode.

    `choice` is "wan", Wan's own that the checkpoint keeps; "taehv:FILE"; or a folder: of another
    checkpoint, or of a pipeline in diffusers' layout.

    Raises:
        BuildError: there is none, its file is damaged, or it makes other latents.
    """
    profile = read_profile(checkpoint)
    found: Autoencoder
    if choice == WAN:
        found = _kept_wan(checkpoint, profile)
    elif choice.startswith(f"{TAEHV}:"):
        found = read_taehv(Path(choice.partition(":")[2]), profile)
    else:
        found = _open_folder(Path(choice))
    check_latents(found, profile, source=choice)
    return found.eval()


def read_taehv(path: Path, profile: Profile) -> taehv.Taehv:
    """Return the tiny autoencoder of a public file, .pth or .safetensors.

    Raises:
        BuildError: there is no such file, it holds other things, or is for other latents.
    """
    tensors = _read_public(path)
    network = taehv.Taehv(taehv.layout_of(tensors, source=str(path)))
    check_latents(network, profile, source=str(path))
    load_into(network, taehv.newest_steps(network, tensors), source=str(path))
    return network


def _read_public(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .pth or a .safetensors file."""
    if path.suffix == ".safetensors" or not path.is_file():
        return read_tensors(path)
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        if all(isinstance(each, Tensor) for each in tensors.values()):
            return dict(tensors)
        problem: Exception | None = None
    except Exception as error:  # torch's and pickle's errors share no public base class
        problem = error
    got, remedy = classify_file(path, "other things than tensors", "download it again")
    raise BuildError(f"expected tensors in {path}, got {got}: {remedy}") from problem


def _kept_wan(checkpoint: Path, profile: Profile) -> Autoencoder:
    """Return Wan's own autoencoder of a checkpoint: the one that it runs with, or keeps beside."""
    if profile.autoencoder == WAN:
        return load_autoencoder(checkpoint, profile)
    if not (checkpoint / WAN).is_dir():
        raise BuildError(
            f"expected Wan's own autoencoder in {checkpoint / WAN}, got none: import the model "
            "again, or give the folder of its pipeline to --autoencoder"
        )
    return load_autoencoder(checkpoint / WAN, replace(profile, autoencoder=WAN))


def _open_folder(folder: Path) -> Autoencoder:
    """Return the autoencoder of a checkpoint's folder, or of a pipeline's."""
    if (folder / PROFILE_FILE).is_file():
        return load_autoencoder(folder)
    place = folder / PIPELINE_FOLDER
    place = place if place.is_dir() else folder
    if not (place / pipeline.CONFIG).is_file():
        raise BuildError(
            f"expected wan, taehv:FILE, or the folder of a checkpoint or a Wan pipeline as "
            f"--autoencoder, got {str(folder)!r}: give one of them"
        )
    layout, stored = _read_wan(place)
    network = WanAutoencoder(layout)
    tensors: dict[str, Tensor] = {}
    for path in {tensor.path for tensor in stored.values()}:
        tensors |= read_tensors(path)
    load_into(network, tensors, source=str(place))
    return network


def _read_wan(folder: Path) -> tuple[Layout, Mapping[str, StoredTensor]]:
    """Return layout and tensors of an autoencoder's folder in diffusers' layout, checked."""
    config = pipeline.read_config(folder / pipeline.CONFIG)
    if config.get("_class_name", pipeline.AUTOENCODER) != pipeline.AUTOENCODER:
        raise BuildError(
            f"expected an {pipeline.AUTOENCODER} in {folder}, got a {config['_class_name']}: give "
            "the folder of a Wan pipeline"
        )
    layout = Layout.from_dict(config, source=str(folder / pipeline.CONFIG))
    stored = read_shards(pipeline.weight_files(folder))
    with torch.device("meta"):
        check_tensors(WanAutoencoder(layout), stored, source=str(folder))
    return layout, stored


def _copy_wan(source: Path, target: Path, profile: Profile) -> None:
    """Copy Wan's own autoencoder from a pipeline's folder, as it is stored."""
    layout, stored = _read_wan(source)
    with torch.device("meta"):
        check_latents(WanAutoencoder(layout), profile, source=str(source))
    target.mkdir(exist_ok=True)
    copy_tensors(stored, target / AUTOENCODER_FILE)
    write_json(target / LAYOUT_FILE, layout.as_dict())


def _fit_ours(folder: Path, profile: Profile) -> Profile:
    """Return the profile with the sizes of an autoencoder of ours in a checkpoint."""
    ours = read_profile(folder)
    latents = ours.latent_channels, ours.latent_stride
    if ours.autoencoder != OURS or latents != (profile.latent_channels, profile.latent_stride):
        raise BuildError(
            f"expected an autoencoder of ours with {profile.latent_channels} channels and "
            f"{profile.latent_stride} pixels a position in {folder}, got {ours.autoencoder} "
            f"with {latents[0]} and {latents[1]}: give another checkpoint"
        )
    sizes = {name: getattr(ours, name) for name in SIZES_OF_OURS}
    return replace(profile, autoencoder=OURS, **sizes)
