"""`realmaster model import`: a checkpoint of a Wan pipeline's folder and an autoencoder."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Flag
from realmaster_live.errors import ConfigError
from realmaster_live.optional import require


@dataclass(frozen=True, kw_only=True)
class Import:
    """Make a checkpoint of a Wan text-to-video pipeline in diffusers' layout.

    The weights are copied in the type that they have, one or two transformers, in shards or not.
    What was trained on the folder fits the checkpoint.

    Attributes:
        folder: The pipeline's folder, such as that of Wan-AI/Wan2.1-T2V-1.3B-Diffusers.
        profile: The profile whose chunks it takes: wan-1.3b-480, wan-5b-704 or wan-a14b.
        autoencoder: What makes latents and pictures: taehv:FILE, a tiny autoencoder's public file,
            which is fast enough to run live; wan, the pipeline's own; or ours:FOLDER, that of a
            checkpoint of ours. The pipeline's own is kept beside the others, for recordings.
        out: The checkpoint's folder.
        prompts: Embed the weather presets, and the empty text that guidance leads away from, with
            the pipeline's text encoder.
        prompt: A text to embed as well. This may be repeated.
    """

    folder: Annotated[Path, Flag(positional=True)]
    profile: Annotated[str, Flag(metavar="NAME")]
    autoencoder: Annotated[str, Flag(metavar="KIND[:PLACE]")]
    out: Annotated[Path, Flag(metavar="DIR")]
    prompts: bool = False
    prompt: tuple[str, ...] = ()


def run(options: Import) -> int:
    """Import, and print what was written."""
    for module in ("torch", "safetensors"):
        require(module, extra="training")
    from realmaster_live.model.importing import import_model
    from realmaster_live.prompts import to_embed

    if options.prompt and not options.prompts:
        raise ConfigError(
            f"expected --prompts with --prompt {options.prompt[0]!r}, got it alone: give both"
        )
    texts = to_embed(options.prompt) if options.prompts else None
    facts = import_model(
        options.folder,
        options.out,
        profile=options.profile,
        autoencoder=options.autoencoder,
        prompts=texts,
    )
    hashes = facts["base_sha256"]
    for digest in [hashes] if isinstance(hashes, str) else hashes:
        sys.stdout.write(f"sha256 over tensors: {digest}\n")
    sys.stdout.write(f"licence: {facts['licence']}\n")
    files = [path for path in options.out.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    sys.stdout.write(f"{options.out}: {len(files)} files, {size / 2**20:.1f} MiB\n")
    return 0
