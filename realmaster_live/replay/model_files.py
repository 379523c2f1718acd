"""Facts about a model that its folder gives before it is loaded: hash and token stride."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from realmaster_live.errors import ConfigError
from realmaster_live.system.contents import sha256_of
from realmaster_live.system.texts import read_object

DESCRIPTIONS = ("manifest.json", "plans.json", "profile.json")  # export, build, checkpoint
EVEN = 2  # H.264 wants even sides
MAX_STRIDE = 4096  # pixels
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
    about = read_object(
        found[0],
        what="the description of a model",
        remedy="export it again",
        error=ConfigError,
    )
    files, stride = about.get("files"), about.get("token_stride", STRIDE)
    if not isinstance(stride, int) or not 0 < stride <= MAX_STRIDE:
        raise ConfigError(
            f"expected a number of pixels as token_stride in {found[0]}, got {stride!r:.80}: "
            "export it again"
        )
    weights = files if files else [about, _hashes(folder)]
    return hashlib.sha256(json.dumps(weights, sort_keys=True).encode()).hexdigest(), stride


def fitted(width: int, height: int, stride: int) -> tuple[int, int]:
    """Return the width and height nearest to a size whose sides are multiples of `stride`."""
    from realmaster_live.engines.sizes import fitting_sizes

    return fitting_sizes(width, height, stride)[0]


def needed_sha256(path: Path, *, what: str) -> str:
    """Return the SHA-256 of a file; ConfigError where there is no such file."""
    if not path.exists():
        raise ConfigError(f"expected {what} at {path}, got no such file: check the path")
    return sha256_of(path, error=ConfigError)


def autoencoder_hashes(choice: str, engine: Path) -> dict[str, str]:
    """Return the hashes of the files behind an autoencoder that replaces an engine's own.

    `choice` is "wan", "taehv:FILE" or a folder; empty where none is found, which opening it says.
    """
    kind, _, place = choice.partition(":")
    if kind == "taehv" and place:
        return {place: needed_sha256(Path(place), what="a tiny autoencoder's file")}
    folder = engine / "wan" if choice == "wan" else Path(choice)
    return _hashes(folder / "vae") or _hashes(folder)


def _hashes(folder: Path) -> dict[str, str]:
    found = sorted(folder.glob("*.safetensors"))
    return {path.name: sha256_of(path, error=ConfigError) for path in found}
