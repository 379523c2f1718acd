"""Reads and writes checkpoints: folders of safetensors files and a profile, without pickles."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from realmaster_live.errors import BuildError
from realmaster_live.model.autoencoders.interface import Autoencoder
from realmaster_live.model.autoencoders.opening import LAYOUT_FILE, autoencoder_of, check_latents
from realmaster_live.model.autoencoders.wan import WanAutoencoder
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.networks import Networks, check_experts
from realmaster_live.model.profile import Profile
from realmaster_live.model.tensor_files import check_tensors
from realmaster_live.model.vae import in_present_form
from realmaster_live.system.atomic_files import replacing, write_text
from realmaster_live.system.contents import classify_file
from realmaster_live.system.inside import check_regular, check_utf8
from realmaster_live.system.texts import read_object

PROFILE_FILE = "profile.json"
TRANSFORMER_FILES = ("transformer.safetensors", "transformer_2.safetensors")
"""One for each expert; the first serves the noisier timesteps, as in diffusers' Wan2.2."""
AUTOENCODER_FILE = "autoencoder.safetensors"
FACTS = "facts.json"  # what the checkpoint was made from
LATENTS_OF = "latents_of_sha256"  # in the facts: autoencoders with the same latents, by file hash


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return a safetensors file's tensors; BuildError if it is missing or damaged."""
    check_regular(path, error=BuildError)
    check_utf8(path, error=BuildError)
    try:
        return load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        got, remedy = classify_file(path, str(error), "train or export it again")
        raise BuildError(f"expected a safetensors file at {path}, got {got}: {remedy}") from error


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file atomically."""
    with replacing(path) as part:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, part)


def load_into(module: nn.Module, tensors: dict[str, Tensor], *, source: str) -> None:
    """Copy tensors into a module, or replace its meta tensors by them.

    Names and shapes must match exactly, but for layers of a former form (`in_present_form`).
    """
    tensors = in_present_form(tensors, module)
    check_tensors(module, tensors, source=source, remedy="use the profile that it was trained for")
    expected = module.state_dict()
    on_meta = any(tensor.is_meta for tensor in expected.values())
    given = {name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}
    module.load_state_dict(given, assign=on_meta)


def save_checkpoint(
    folder: Path, autoencoder: Autoencoder, *transformers: InContextTransformer
) -> None:
    """Write networks (a transformer for each expert) and their profile into a folder."""
    profile = transformers[0].profile
    check_experts(profile, len(transformers))
    check_latents(autoencoder, profile, source="the given autoencoder")
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(autoencoder, WanAutoencoder):
        write_text(folder / LAYOUT_FILE, json.dumps(autoencoder.layout.as_dict(), indent=2) + "\n")
    write_tensors(folder / AUTOENCODER_FILE, autoencoder.state_dict())
    for name, transformer in zip(TRANSFORMER_FILES, transformers, strict=False):
        write_tensors(folder / name, transformer.state_dict())
    (folder / PROFILE_FILE).write_text(json.dumps(profile.as_dict(), indent=2) + "\n")


def read_profile(folder: Path) -> Profile:
    """Return the profile of a checkpoint folder."""
    path = folder / PROFILE_FILE
    fields = read_object(
        path,
        what=f"a checkpoint with {PROFILE_FILE}",
        remedy="give the folder that training wrote",
        error=BuildError,
    )
    return Profile.from_dict(fields, source=str(path))


def load_networks(folder: Path) -> Networks:
    """Return the networks of a checkpoint folder, in evaluation mode.

    Raises:
        BuildError: a file is damaged, does not fit the profile, or an expert's file is missing.
    """
    profile = read_profile(folder)
    names = TRANSFORMER_FILES[: profile.experts]
    missing = [name for name in names if not (folder / name).is_file()]
    if profile.experts > 1 and missing:
        raise BuildError(
            f"expected {' and '.join(names)} for the {profile.experts} experts of {profile.name} "
            f"in {folder}, got no {missing[0]}: put the file of each expert there"
        )
    autoencoder = load_autoencoder(folder, profile)
    with torch.device("meta"):  # so that the weights are in memory only once
        transformers = [InContextTransformer(profile) for _ in names]
    for transformer, name in zip(transformers, names, strict=True):
        load_into(transformer, read_tensors(folder / name), source=name)
        transformer.eval()
    return autoencoder, *transformers


def load_autoencoder(folder: Path, profile: Profile | None = None) -> Autoencoder:
    """Return the autoencoder of a checkpoint folder, in evaluation mode.

    Raises:
        BuildError: its file is damaged or does not fit the profile.
    """
    tensors = read_tensors(folder / AUTOENCODER_FILE)
    autoencoder = autoencoder_of(profile or read_profile(folder), tensors, folder)
    load_into(autoencoder, tensors, source=AUTOENCODER_FILE)
    autoencoder.eval()
    return autoencoder


def load_checkpoint(folder: Path) -> tuple[Autoencoder, InContextTransformer]:
    """Return the networks of a checkpoint folder, whose profile must have one expert."""
    profile = read_profile(folder)
    if profile.experts != 1:
        raise BuildError(
            f"expected a checkpoint of one expert, got {profile.name} with {profile.experts} in "
            f"{folder}: run it in the torch engine, which runs each expert at its own timesteps"
        )
    autoencoder, *transformers = load_networks(folder)
    return autoencoder, transformers[0]
