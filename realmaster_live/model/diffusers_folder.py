"""Reads a folder in diffusers' layout, and checks that it holds one of Wan's text-to-video models.

```
FOLDER/{model_index.json, LICENSE, README.md}
FOLDER/transformer/{config.json, diffusion_pytorch_model*.safetensors[.index.json]}
FOLDER/transformer_2/…  FOLDER/vae/…  FOLDER/text_encoder/…  FOLDER/tokenizer/…
```
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from realmaster_live.errors import BuildError
from realmaster_live.model.profile import PROFILES, Profile
from realmaster_live.system.inside import SafeFolder
from realmaster_live.system.texts import read_object

INDEX, CONFIG = "model_index.json", "config.json"
WEIGHTS = "diffusion_pytorch_model"
NUMBERED = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors$")
PIPELINES = ("WanPipeline",)
TRANSFORMER, AUTOENCODER = "WanTransformer3DModel", "AutoencoderKLWan"
EXPERT_FOLDERS = ("transformer", "transformer_2")  # the first serves the noisier timesteps
LICENCE_FILES = ("LICENSE*", "LICENCE*", "NOTICE*", "README*", "USE_POLICY*")
STATED = re.compile(r"^license(?:_name)?:\s*['\"]?([\w.+-]+)", re.MULTILINE)


def check_pipeline(folder: Path) -> None:
    """Raise BuildError unless a folder holds a Wan pipeline or its transformer."""
    if not folder.is_dir():
        raise BuildError(
            f"expected the folder of a Wan pipeline in diffusers' layout, got no folder {folder}: "
            "download one, such as Wan-AI/Wan2.1-T2V-1.3B-Diffusers (Apache-2.0)"
        )
    index = folder / INDEX
    if not index.is_file():
        return
    name = read_config(index).get("_class_name")
    if name not in PIPELINES:
        raise BuildError(
            f"expected a WanPipeline in {folder}, got a {name}: give the folder of a Wan "
            "text-to-video model"
        )


def read_config(path: Path) -> dict[str, Any]:
    """Return the content of one of diffusers' JSON files."""
    return read_object(
        path,
        what="a file of diffusers' layout",
        remedy="download the model again",
        error=BuildError,
    )


def expert_folders(folder: Path) -> list[Path]:
    """Return the folders of a pipeline's transformers, or the folder itself if it holds one."""
    found = [folder / name for name in EXPERT_FOLDERS if (folder / name / CONFIG).is_file()]
    return found or [folder]


def transformer_config(folder: Path) -> dict[str, Any]:
    """Return a transformer's configuration; BuildError if it is not a text-to-video Wan model."""
    path = folder / CONFIG
    if not path.is_file():
        raise BuildError(
            f"expected transformer/{CONFIG} of a Wan pipeline in {folder}, got none: give the "
            "folder in diffusers' layout, such as Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
        )
    config = read_config(path)
    name = config.get("_class_name", TRANSFORMER)
    if name != TRANSFORMER:
        raise BuildError(
            f"expected a {TRANSFORMER} in {folder}, got a {name}: give the folder of a Wan "
            "text-to-video model"
        )
    if config.get("image_dim") or config.get("added_kv_proj_dim"):
        raise BuildError(
            f"expected a text-to-video transformer in {folder}, got one that also takes images: "
            "give a Wan text-to-video model"
        )
    return config


def sized(profile: Profile, config: dict[str, Any]) -> Profile:
    """Return the profile with the sizes in a transformer's configuration."""
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
            f"expected the config.json of a {TRANSFORMER}, got {config} without {error}: "
            "give the transformer folder of a Wan text-to-video model"
        ) from error
    return dataclasses.replace(profile, **sizes)


def check_profile(profile: Profile, folder: Path, experts: int) -> None:
    """Raise BuildError if a profile does not fit the latents or the experts of a folder's model."""
    channels = int(transformer_config(expert_folders(folder)[0]).get("in_channels", 0))
    if (channels, experts) == (profile.latent_channels, profile.experts):
        return
    fits = [
        each.name
        for each in PROFILES.values()
        if (each.latent_channels, each.experts) == (channels, experts)
        and each.autoencoder != "ours"
    ]
    remedy = f"give --profile {' or '.join(fits)}" if fits else "give a Wan text-to-video model"
    raise BuildError(
        f"expected {profile.latent_channels} latent channels and {profile.experts} transformers "
        f"for {profile.name}, got {channels} and {experts} in {folder}: {remedy}"
    )


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors file of a model, or its shards.

    Raises:
        BuildError: there is no file, or a shard is missing.
    """
    index = folder / f"{WEIGHTS}.safetensors.index.json"
    single = folder / f"{WEIGHTS}.safetensors"
    if index.is_file():
        mapped = read_config(index).get("weight_map")
        names = sorted({str(name) for name in mapped.values()}) if isinstance(mapped, dict) else []
    elif single.is_file():
        names = [single.name]
    else:
        names = _numbered(folder)
    if not names:
        others = sorted(path.name for path in folder.glob("*.bin")) if folder.is_dir() else []
        got = f"{others[0]}, a pickle" if others else "none"
        raise BuildError(
            f"expected {WEIGHTS}*.safetensors in {folder}, got {got}: download the model's "
            "safetensors files"
        )
    inside = SafeFolder(folder, error=BuildError)
    missing = [name for name in names if not inside.exists(name)]
    if missing:
        raise BuildError(
            f"expected {len(names)} shards in {folder}, got no {missing[0]}"
            f"{f' and {len(missing) - 1} more' if missing[1:] else ''}: download what is missing"
        )
    return [inside.file(name) for name in names]


def _numbered(folder: Path) -> list[str]:
    """Return the names of all shards of a model, given that some of them exist."""
    for path in sorted(folder.glob(f"{WEIGHTS}-*.safetensors")):
        match = NUMBERED.search(path.name)
        if match:
            stem, count = path.name[: match.start()], int(match[2])
            return [f"{stem}-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)]
    return []


def licence_files(folder: Path) -> list[Path]:
    """Return a folder's files with licence terms."""
    found = {path for pattern in LICENCE_FILES for path in folder.glob(pattern) if path.is_file()}
    return sorted(found)


def stated_licence(folder: Path) -> str:
    """Return the licence that a model card states in its header, or ""."""
    card = folder / "README.md"
    if not card.is_file():
        return ""
    match = STATED.search(card.read_text(errors="replace")[:4096])
    return match[1] if match else ""
