"""`realmaster model info`: what a checkpoint is, and the memory that it runs in."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from realmaster_live.cli.values import Flag
from realmaster_live.errors import ConfigError
from realmaster_live.optional import require


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Say what a checkpoint is: sizes, weights, hashes, licence, chunks and prompts.

    Attributes:
        checkpoint: The folder that training or realmaster model import wrote; with --memory also
            the name of a profile, such as wan-1.3b-480.
        memory: Say instead how much memory a live engine takes. This needs no GPU.
        size: Size of the pictures for --memory. Without it, the one that the profile is meant for.
        precision: Precision of the engine for --memory.
    """

    checkpoint: Annotated[Path, Flag(positional=True)]
    memory: bool = False
    size: tuple[int, int] | None = None
    precision: Literal["bf16", "fp32"] = "bf16"


def run(options: ModelInfo) -> int:
    """Print what the checkpoint is."""
    for module in ("torch", "safetensors"):
        require(module, extra="training")
    if options.memory:
        sys.stdout.write("\n".join([*_memory(options), ""]))
        return 0
    if options.size is not None:
        raise ConfigError("expected --memory with --size, got --size alone: give both, or neither")
    from realmaster_live.model.importing import describe

    lines = describe(options.checkpoint)
    sys.stdout.write("".join(f"{name:16}{text}\n" for name, text in lines))
    return 0


def _memory(options: ModelInfo) -> list[str]:
    """Return what a live engine of a checkpoint or a profile holds, in lines."""
    from realmaster_live.model.checkpoint import load_autoencoder, read_profile
    from realmaster_live.model.profile import PROFILES
    from realmaster_live.training.estimate.engine import estimate_engine

    folder = options.checkpoint
    named = PROFILES.get(str(folder)) if not folder.is_dir() else None
    if named is None and not folder.is_dir():
        raise ConfigError(
            f"expected a checkpoint's folder or a profile among {', '.join(PROFILES)}, got "
            f"{str(folder)!r}: give one of them"
        )
    return estimate_engine(
        named or read_profile(folder),
        options.size,
        precision=options.precision,
        autoencoder=None if named else load_autoencoder(folder),
    ).lines()
