"""Facts about a model that its folder gives before it is loaded: hash and token stride."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError

DESCRIPTIONS = ("manifest.json", "plans.json", "profile.json")  # export, build, checkpoint
EVEN = 2  # H.264 wants even sides
STRIDE = 32  # pixels a token of a model whose description has none


def describe_model(name: str) -> tuple[str, int]:
    """Return one hash over a model's files ("" where it has none), and its token stride in pixels.

    Raises:
        ConfigError: there is no such model.
    """
    from realmaster_live.engines.embedded import EMBEDDED_FOLDER

    if name == "identity":
        return "", EVEN
    folder = EMBEDDED_FOLDER if name == "embedded" else Path(name)
    found = [folder / file for file in DESCRIPTIONS if (folder / file).is_file()]
    if not found:
        raise ConfigError(
            f"expected 'embedded', 'identity' or a folder with {' or '.join(DESCRIPTIONS)}, got "
            f"{name!r}: give the folder that realmaster export, training or realmaster build wrote"
        )
    try:
        description: dict[str, Any] = json.loads(found[0].read_text(encoding="utf-8"))
        files = description.get("files")
        weights = files if files else [description, _hashes(folder)]
        sha256 = hashlib.sha256(json.dumps(weights, sort_keys=True).encode()).hexdigest()
        return sha256, int(description.get("token_stride", STRIDE))
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"expected the description of a model in {found[0]}, got {error}: export it again"
        ) from error


def fitted(width: int, height: int, stride: int) -> tuple[int, int]:
    """Return the width and height nearest to a size whose sides are multiples of `stride`."""
    from realmaster_live.engines.sizes import fitting_sizes

    return fitting_sizes(width, height, stride)[0]


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*.safetensors"))
    }
