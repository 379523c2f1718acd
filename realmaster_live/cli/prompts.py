"""`realmaster prompts`: which prompts a model knows, and new ones through a text encoder."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Flag
from realmaster_live.errors import BuildError, ConfigError, reason
from realmaster_live.optional import require

TRAINED = "trained with the model"
EXPORTED = "in the exported graphs"


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """List a model's prompts, or embed more of them with a text encoder.

    Attributes:
        checkpoint: The folder of a checkpoint, or, to list only, of an export.
        encoder: A UMT5 text encoder and its tokenizer, as a folder or a name that transformers
            loads. The weather presets and every --prompt are embedded and kept in the checkpoint's
            folder.
        prompt: A text to embed as well. This may be repeated.
    """

    checkpoint: Annotated[Path, Flag(positional=True)]
    encoder: Annotated[str | None, Flag(metavar="DIR|NAME")] = None
    prompt: tuple[str, ...] = ()


def known(folder: Path) -> dict[str, str]:
    """Return name -> origin or text of the prompts of a checkpoint or an export."""
    from realmaster_live.prompts import PROMPTS_FILE, PromptTable

    manifest = folder / "manifest.json"
    if manifest.is_file():
        return dict.fromkeys(_read(manifest).get("prompts", ()), EXPORTED)
    profile = folder / "profile.json"
    if not profile.is_file():
        raise ConfigError(
            f"expected a checkpoint (profile.json) or an export (manifest.json) in {folder}, got "
            "neither: give the folder that training or realmaster export wrote"
        )
    kept = folder / PROMPTS_FILE
    texts: Mapping[str, str] = PromptTable.load(kept).texts if kept.is_file() else {}
    return {**dict.fromkeys(_read(profile).get("prompts", ()), TRAINED), **texts}


def run(options: Prompts) -> int:
    """Embed, where there is an encoder, and list a prompt a line."""
    if options.encoder is not None:
        _embed(options.checkpoint, options.encoder, options.prompt)
    elif options.prompt:
        raise ConfigError(
            f"expected --encoder with --prompt {options.prompt[0]!r}, got none: name the text "
            "encoder that the model was trained with"
        )
    found = known(options.checkpoint)
    for name, text in found.items():
        sys.stdout.write(f"{name}\n" if name == text else f"{name}: {text or '(no text)'}\n")
    if not found:
        sys.stdout.write(f"{options.checkpoint} knows no prompts\n")
    return 0


def _embed(folder: Path, encoder: str, texts: Sequence[str]) -> None:
    """Write the embeddings of the presets and some texts beside a checkpoint."""
    for module in ("torch", "transformers", "safetensors"):
        require(module, extra="training")
    from realmaster_live.model.checkpoint import read_profile
    from realmaster_live.model.text_encoder import embed_prompts
    from realmaster_live.prompts import to_embed

    profile = read_profile(folder)
    if profile.prompts or not profile.text_width:
        raise ConfigError(
            f"expected a model whose prompts a text encoder makes, got {profile.name}, which has "
            f"{'trained its own' if profile.prompts else 'none'}: leave --encoder out to list them"
        )
    embed_prompts(folder, encoder=encoder, prompts=to_embed(texts), width=profile.text_width)


def _read(path: Path) -> dict[str, list[str]]:
    """Return a JSON object."""
    try:
        fields: dict[str, list[str]] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BuildError(
            f"expected JSON in {path}, got {reason(error)}: train or export the model again"
        ) from error
    return fields
