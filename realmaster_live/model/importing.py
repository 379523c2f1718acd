"""Makes a checkpoint from a Wan pipeline and an autoencoder, and describes checkpoints.

Weights are copied block by block in their own type, so memory does not grow with the model.
An adapter trained on the pipeline fits the checkpoint: both have the same hash over tensors.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from realmaster_live.errors import ConfigError
from realmaster_live.model import diffusers_folder as pipeline
from realmaster_live.model.autoencoder_files import WAN, write_autoencoder
from realmaster_live.model.checkpoint import (
    AUTOENCODER_FILE,
    FACTS,
    LATENTS_OF,
    PROFILE_FILE,
    TRANSFORMER_FILES,
    read_profile,
)
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import PROFILES
from realmaster_live.model.tensor_files import (
    StoredTensor,
    check_tensors,
    copy_tensors,
    hash_tensors,
    read_shards,
    stored_tensors,
)
from realmaster_live.prompts import PROMPTS_FILE, PromptTable
from realmaster_live.system.atomic_files import write_json
from realmaster_live.system.contents import sha256_of

LICENCES = "licences"


def import_model(
    folder: Path | str,
    out: Path | str,
    *,
    profile: str,
    autoencoder: str,
    prompts: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write a pipeline in diffusers' layout as a checkpoint; return its facts.

    Args:
        folder: a Wan text-to-video pipeline with one or two transformers, or one transformer.
        out: the checkpoint's folder.
        profile: name of the profile with the wanted chunks; layer sizes are those of the model.
        autoencoder: "wan" for the pipeline's own; "taehv:FILE" for a tiny one's public file;
            "ours:FOLDER" for that of our checkpoint. With the last two, the pipeline's own
            autoencoder is kept as well.
        prompts: texts by name, to be embedded with the pipeline's text encoder.

    Raises:
        BuildError: the folder is not one of Wan's, a file is missing or damaged, or the autoencoder
            makes other latents.
        ConfigError: the profile or the kind of autoencoder does not exist.
    """
    source, target = Path(folder), Path(out)
    if profile not in PROFILES or PROFILES[profile].autoencoder == "ours":
        names = [name for name, each in PROFILES.items() if each.autoencoder != "ours"]
        raise ConfigError(
            f"expected a profile among {', '.join(names)}, got {profile!r}: use one of them"
        )
    pipeline.check_pipeline(source)
    parts = pipeline.expert_folders(source)
    config = pipeline.transformer_config(parts[0])
    pipeline.check_profile(PROFILES[profile], source, len(parts))
    sized = pipeline.sized(PROFILES[profile], config)
    experts = [read_shards(pipeline.weight_files(part)) for part in parts]
    with torch.device("meta"):
        network = InContextTransformer(sized)
    for part, tensors in zip(parts, experts, strict=True):
        check_tensors(network, tensors, source=str(part))
    if prompts and not (source / "text_encoder").is_dir():
        raise ConfigError(
            f"expected text_encoder and tokenizer in {source} to embed prompts, got none: leave "
            "--prompts out and use realmaster prompts CHECKPOINT --encoder DIR later"
        )
    target.mkdir(parents=True, exist_ok=True)
    sized, about = write_autoencoder(source, target, sized, autoencoder)
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


def describe(folder: Path | str) -> list[tuple[str, str]]:
    """Return the properties of a checkpoint as (name, text), in the order to be shown.

    Raises:
        BuildError: it is not a checkpoint, or one of its files is damaged.
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
    lines.append(("autoencoder", f"{profile.autoencoder}, {_weights(tensors)}"))
    beside = checkpoint / WAN / AUTOENCODER_FILE
    if beside.parent.is_dir():
        tensors = stored_tensors(beside, remedy="import the model again")
        lines.append(("  beside it", f"{WAN}, {_weights(tensors)}"))
    lines += [
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


def _copy_licences(source: Path, target: Path) -> None:
    """Copy the licence files and the model card."""
    files: Sequence[Path] = pipeline.licence_files(source)
    if files:
        (target / LICENCES).mkdir(exist_ok=True)
    for path in files:
        shutil.copyfile(path, target / LICENCES / path.name)
