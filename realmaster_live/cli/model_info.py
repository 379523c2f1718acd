"""`realmaster model info`: what a checkpoint is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Flag
from realmaster_live.optional import require


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Say what a checkpoint is: sizes, weights, hashes, licence, chunks and prompts.

    Attributes:
        checkpoint: The folder that training or realmaster model import wrote.
    """

    checkpoint: Annotated[Path, Flag(positional=True)]


def run(options: ModelInfo) -> int:
    """Print what the checkpoint is."""
    for module in ("torch", "safetensors"):
        require(module, extra="training")
    from realmaster_live.model.importing import describe

    lines = describe(options.checkpoint)
    sys.stdout.write("".join(f"{name:16}{text}\n" for name, text in lines))
    return 0
