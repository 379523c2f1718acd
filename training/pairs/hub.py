"""Weights by a folder's name or a Hugging Face id; only the files that are needed are fetched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from realmaster_live.errors import ConfigError
from realmaster_live.optional import require
from realmaster_live.training.pairs.pipelines import Weights, missing_weights

ID = re.compile(r"[\w.-]+/[\w.-]+")


def check_place(source: str, key: str) -> None:
    """Raise ConfigError where `source` is neither a folder nor can be a Hugging Face id."""
    if not Path(source).is_dir() and not ID.fullmatch(source):
        raise ConfigError(
            f"expected a folder or a Hugging Face id for {key}, got {source!r}: check the path"
        )


def fetch(source: str, key: str, *, files: Sequence[str], licence: str, revision: str = "") -> Path:
    """Return the folder that holds the files of a folder's name or an id.

    Raises:
        ConfigError: they are not here and cannot be fetched; says what to run or accept.
    """
    check_place(source, key)
    if Path(source).is_dir():
        return Path(source)
    hub = require("huggingface_hub", extra="training")
    try:
        found = hub.snapshot_download(source, revision=revision or None, allow_patterns=list(files))
    except OSError as error:
        weights = Weights(model=source, revision=revision, licence=licence)
        raise ConfigError(missing_weights(weights, error)) from error
    return Path(found)
