"""Makes a checkpoint of a Wan pipeline's folder and an autoencoder, and describes checkpoints.

Weights are copied block by block, in the type that they have, so memory does not grow with the
model, and what was trained on the folder fits the checkpoint: both have one hash over tensors.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.model import diffusers_folder as pipeline
from realmaster_live.model.autoencoders import taehv
from realmaster_live.model.autoencoders.opening import LAYOUT_FILE, check_latents
from realmaster_live.model.autoencoders.wan import Layout, WanAutoencoder
from realmaster_live.model.checkpoint import (
    AUTOENCODER_FILE,
    FACTS,
    LATENTS_OF,
    PROFILE_FILE,
    TRANSFORMER_FILES,
    load_into,
    read_profile,
    read_tensors,
    write_tensors,
)
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import PROFILES, Profile
from realmaster_live.model.tensor_files import (
    StoredTensor,
    copy_tensors,
    hash_tensors,
    read_shards,
    stored_tensors,
)
from realmaster_live.prompts import PROMPTS_FILE, PromptTable
from realmaster_live.system.atomic_files import write_json
from realmaster_live.system.contents import classify_file, sha256_of

LICENCES = "licences"
TAEHV_LICENCE = "MIT"  # of madebyollin/taehv
OURS = ("half", "fine", "middle", "deep", "memory", "falling")  # sizes of our autoencoder


def import_model(
    folder: Path | str,
    out: Path | str,
    *,
    profile: str,
    autoencoder: str,
    prompts: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write a checkpoint of a pipeline in diffusers' layout; return its facts.

    Args:
        folder: of a Wan text-to-video pipeline, of one or two transformers, or of a transformer.
        out: of the checkpoint.
        profile: name of the profile whose chunks it takes; the sizes are those of the model.
        autoencoder: "wan", the pipeline's own; "taehv:FILE", a tiny one's public file; or
            "ours:FOLDER", that of a checkpoint of ours.
        prompts: texts by name to embed with the pipeline's text encoder.

    Raises:
        BuildError: the folder is not of Wan's, a file is missing or damaged, or the autoencoder is
            for other latents.
        ConfigError: there is no such profile, or kind of autoencoder.
    """
    source, target = Path(folder), Path(out)
    if profile not in PROFILES or PROFILES[profile].autoencoder == "ours":
        names = [name for name, each in PROFILES.items() if each.autoencoder != "ours"]
        raise ConfigError(
            f"expected a profile among {', '.join(names)}, got {profile!r}: take one of them"
        )
    pipeline.check_pipeline(source)
    parts = pipeline.expert_folders(source)
    config = pipeline.transformer_config(parts[0])
    pipeline.check_profile(PROFILES[profile], source, len(parts))
    sized = pipeline.sized(PROFILES[profile], config)
    experts = [read_shards(pipeline.weight_files(part)) for part in parts]
    for part, tensors in zip(parts, experts, strict=True):
        check_tensors(InContextTransformer, sized, tensors, source=str(part))
    if prompts and not (source / "text_encoder").is_dir():
        raise ConfigError(
            f"expected text_encoder and tokenizer in {source} to embed prompts, got none: leave "
            "--prompts out and use realmaster prompts CHECKPOINT --encoder DIR later"
        )
    target.mkdir(parents=True, exist_ok=True)
    sized, about = _write_autoencoder(source, target, sized, autoencoder)
    hashes = [
        copy_tensors(tensors, target / name)
        for tensors, name in zip(experts, TRANSFORMER_FILES, strict=False)
    ]
    own = source / "vae" / f"{pipeline.WEIGHTS}.safetensors"
    facts = {
        "base_model": source.resolve().name,
        "base_sha256": hashes[0] if len(hashes) == 1 else hashes,
        "licence": pipeline.stated_licence(source) or "unknown",
        LATENTS_OF: [sha256_of(own)] if own.is_file() else [],
        "autoencoder": about,
    }
    _copy_licences(source, target)
    write_json(target / PROFILE_FILE, sized.as_dict())
    write_json(target / FACTS, facts)
    if prompts:
        from realmaster_live.model.text_encoder import embed_prompts

        embed_prompts(target, encoder=source, prompts=prompts, width=sized.text_width)
    return facts


def check_tensors(
    kind: type[nn.Module], shape: Any, tensors: Mapping[str, StoredTensor], *, source: str
) -> None:
    """Raise BuildError unless stored tensors are those of a network, by name and shape."""
    with torch.device("meta"):
        expected = kind(shape).state_dict()
    problems = [f"{name} missing" for name in sorted(expected.keys() - tensors.keys())]
    problems += [f"{name} unknown" for name in sorted(tensors.keys() - expected.keys())]
    problems += [
        f"{name} {tuple(expected[name].shape)} != {tensors[name].shape}"
        for name in sorted(expected.keys() & tensors.keys())
        if tuple(expected[name].shape) != tensors[name].shape
    ]
    if problems:
        raise BuildError(
            f"expected the {len(expected)} tensors of {kind.__name__} in {source}, got "
            f"{len(problems)} that differ ({'; '.join(problems[:3])}): download the model again"
        )


def read_taehv(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a tiny autoencoder's public file, .pth or .safetensors.

    Raises:
        BuildError: there is no such file, or it holds other things than tensors.
    """
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


def describe(folder: Path | str) -> list[tuple[str, str]]:
    """Return what a checkpoint is, as names and texts in the order to be shown.

    Raises:
        BuildError: it is no checkpoint, or a file of it is damaged.
    """
    checkpoint = Path(folder)
    profile = read_profile(checkpoint)
    path = checkpoint / FACTS
    facts = json.loads(path.read_text()) if path.is_file() else {}
    kept = checkpoint / PROMPTS_FILE
    known = [*profile.prompts, *(PromptTable.load(kept) if kept.is_file() else ())]
    lines = [("profile", profile.name), ("licence", str(facts.get("licence", "not recorded")))]
    if "base_model" in facts:
        lines.append(("base model", str(facts["base_model"])))
    for name in TRANSFORMER_FILES[: profile.experts]:
        tensors = stored_tensors(checkpoint / name, remedy="import or train it again")
        lines.append((Path(name).stem, _weights(tensors)))
        lines.append(("  sha256", f"{hash_tensors(tensors)} over tensors"))
    tensors = stored_tensors(checkpoint / AUTOENCODER_FILE, remedy="import or train it again")
    lines += [
        ("autoencoder", f"{profile.autoencoder}, {_weights(tensors)}"),
        (
            "chunks",
            f"{profile.chunk_frames} frames of {profile.chunk_latents} latents, the first "
            f"{profile.first_frames}; sides of multiples of {profile.token_stride} pixels",
        ),
        ("steps", str(profile.steps)),
        ("prompts", ", ".join(known) or "none"),
    ]
    return lines


def _weights(tensors: Mapping[str, StoredTensor]) -> str:
    kinds = sorted({tensor.dtype for tensor in tensors.values()})
    size = sum(tensor.size for tensor in tensors.values())
    return f"{len(tensors)} tensors in {', '.join(kinds)}, {size / 2**20:.1f} MiB"


def _write_autoencoder(
    source: Path, target: Path, profile: Profile, choice: str
) -> tuple[Profile, dict[str, Any]]:
    """Write the chosen autoencoder; return the profile for it and what it is."""
    kind, _, place = choice.partition(":")
    if (kind, bool(place)) == ("wan", False):
        folder = source / "vae"
        config = pipeline.read_config(folder / pipeline.CONFIG)
        if config.get("_class_name", pipeline.AUTOENCODER) != pipeline.AUTOENCODER:
            raise BuildError(
                f"expected an {pipeline.AUTOENCODER} in {folder}, got a {config['_class_name']}: "
                "give the folder of a Wan pipeline"
            )
        layout = Layout.from_dict(config, source=str(folder / pipeline.CONFIG))
        stored = read_shards(pipeline.weight_files(folder))
        check_tensors(WanAutoencoder, layout, stored, source=str(folder))
        with torch.device("meta"):
            check_latents(WanAutoencoder(layout), profile, source=str(folder))
        copy_tensors(stored, target / AUTOENCODER_FILE)
        write_json(target / LAYOUT_FILE, layout.as_dict())
        licence = pipeline.stated_licence(source) or "unknown"
        return replace(profile, autoencoder="wan"), {"kind": kind, "licence": licence}
    if kind == "taehv" and place:
        file = Path(place)
        tensors = read_taehv(file)
        network = taehv.Taehv(taehv.layout_of(tensors, source=place))
        check_latents(network, profile, source=place)
        kept = taehv.newest_steps(network, tensors)
        load_into(network, kept, source=place)  # checks that all are there
        write_tensors(target / AUTOENCODER_FILE, kept)
        about = {"kind": kind, "file": file.name, "sha256": sha256_of(file)}
        return replace(profile, autoencoder="taehv"), {**about, "licence": TAEHV_LICENCE}
    if kind == "ours" and place:
        ours = read_profile(Path(place))
        fitting = replace(
            profile, autoencoder="ours", **{name: getattr(ours, name) for name in OURS}
        )
        if ours.autoencoder != "ours" or (ours.latent_channels, ours.latent_stride) != (
            profile.latent_channels,
            profile.latent_stride,
        ):
            raise BuildError(
                f"expected an autoencoder of ours with {profile.latent_channels} channels and "
                f"{profile.latent_stride} pixels a position in {place}, got {ours.autoencoder} "
                f"with {ours.latent_channels} and {ours.latent_stride}: give another checkpoint"
            )
        copy_tensors(stored_tensors(Path(place) / AUTOENCODER_FILE), target / AUTOENCODER_FILE)
        return fitting, {"kind": kind, "licence": "Apache-2.0"}
    raise ConfigError(
        f"expected taehv:FILE, wan or ours:FOLDER as the autoencoder, got {choice!r}: take one of "
        "them"
    )


def _copy_licences(source: Path, target: Path) -> None:
    """Copy the files that say how the model may be used."""
    files: Sequence[Path] = pipeline.licence_files(source)
    if files:
        (target / LICENCES).mkdir(exist_ok=True)
    for path in files:
        shutil.copyfile(path, target / LICENCES / path.name)
