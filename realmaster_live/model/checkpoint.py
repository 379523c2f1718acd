"""Checkpoints: a folder of safetensors files and the profile they belong to; never pickles."""

from __future__ import annotations

import json
import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from realmaster_live.errors import BuildError
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import Profile
from realmaster_live.model.vae import StreamingAutoencoder

PROFILE_FILE = "profile.json"
TRANSFORMER_FILE = "transformer.safetensors"
AUTOENCODER_FILE = "autoencoder.safetensors"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return a safetensors file's tensors; a missing or damaged file is a BuildError."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BuildError(
            f"expected a safetensors file at {path}, got {error}: train or export it again"
        ) from error


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors so that a reader sees the old file or the new one, never half of one."""
    aside = path.with_suffix(".part")
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, aside)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)


def load_into(module: nn.Module, tensors: dict[str, Tensor], *, source: str) -> None:
    """Copy tensors into a module whose names and shapes must be exactly theirs."""
    expected = module.state_dict()
    problems = [f"{name} missing" for name in sorted(expected.keys() - tensors.keys())]
    problems += [f"{name} unknown" for name in sorted(tensors.keys() - expected.keys())]
    problems += [
        f"{name} {tuple(expected[name].shape)} != {tuple(tensors[name].shape)}"
        for name in sorted(expected.keys() & tensors.keys())
        if expected[name].shape != tensors[name].shape
    ]
    if problems:
        raise BuildError(
            f"expected the {len(expected)} tensors of {type(module).__name__}, got {source} with "
            f"{len(problems)} that differ ({'; '.join(problems[:3])}): "
            "use the checkpoint with the profile it was trained for"
        )
    module.load_state_dict(tensors)


def save_checkpoint(
    folder: Path, autoencoder: StreamingAutoencoder, transformer: InContextTransformer
) -> None:
    """Write both networks and their profile into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / AUTOENCODER_FILE, autoencoder.state_dict())
    write_tensors(folder / TRANSFORMER_FILE, transformer.state_dict())
    text = json.dumps(transformer.profile.as_dict(), indent=2)
    (folder / PROFILE_FILE).write_text(text + "\n")


def load_checkpoint(folder: Path) -> tuple[StreamingAutoencoder, InContextTransformer]:
    """Return the two networks of a checkpoint folder, in evaluation mode."""
    try:
        profile = Profile.from_dict(json.loads((folder / PROFILE_FILE).read_text()))
    except (OSError, ValueError) as error:
        raise BuildError(
            f"expected a checkpoint with {PROFILE_FILE} in {folder}, got {error}: "
            "give the folder that training wrote"
        ) from error
    autoencoder, transformer = StreamingAutoencoder(profile), InContextTransformer(profile)
    for module, name in ((autoencoder, AUTOENCODER_FILE), (transformer, TRANSFORMER_FILE)):
        load_into(module, read_tensors(folder / name), source=name)
    return autoencoder.eval(), transformer.eval()
