"""The configuration that peft and diffusers store with a LoRA, and the scale of its layers."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path
from typing import Any

from realmaster_live.errors import BuildError
from realmaster_live.system.texts import parse_json, read_object

logger = logging.getLogger(__name__)

CONFIG_KEY = "lora_adapter_metadata"  # diffusers' own header key: the peft configuration as JSON
CONFIG_FILE = "adapter_config.json"
MAX_ALPHA, MAX_PATTERN = 1e6, 256
NESTED = re.compile(r"\)[*+?{]")  # repeated groups, with which a pattern may take forever


def read_config(path: Path, header: dict[str, str], *, peft: bool) -> dict[str, Any]:
    """Return the peft configuration of a LoRA file; empty without one.

    Diffusers stores it in the header, peft in a file beside the LoRA. Without it the scale of a
    file with peft's keys is unknown, and is taken to be 1, which is logged.

    Raises:
        BuildError: it is not a JSON object.
    """
    if peft and CONFIG_KEY not in header:
        beside = path.parent / CONFIG_FILE
        if not beside.exists():
            logger.warning(
                "no %s beside %s: each layer's alpha is taken to be its rank", CONFIG_FILE, path
            )
            return {}
        return read_object(
            beside,
            what="peft's configuration",
            remedy="copy it again, or take it away to have each layer's alpha be its rank",
            error=BuildError,
        )
    try:
        config = parse_json(header.get(CONFIG_KEY, "{}").encode())
        if not isinstance(config, dict):
            raise ValueError(f"a {type(config).__name__}")
    except ValueError as error:
        raise BuildError(
            f"expected a JSON object as {CONFIG_KEY} in {path}, got {error}: save the LoRA again"
        ) from error
    return {key.removeprefix("transformer."): value for key, value in config.items()}


def alpha_of(path: Path, config: dict[str, Any], name: str, rank: int) -> float:
    """Return a layer's alpha by peft's rules, which is the rank unless stated otherwise."""
    key, alpha = "lora_alpha", config.get("lora_alpha", rank)
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, dict):
        raise _wrong(path, "alpha_pattern", "an object of numbers", patterns)
    for pattern, value in patterns.items():
        if _names(path, pattern, name):
            key, alpha = f"alpha_pattern.{pattern}", value
            break
    number = isinstance(alpha, int | float) and not isinstance(alpha, bool)
    if not number or not abs(alpha) <= MAX_ALPHA:
        raise _wrong(path, key, f"a number up to {MAX_ALPHA:g}", alpha)
    return float(alpha) * (math.sqrt(rank) if config.get("use_rslora") else 1.0)


def _names(path: Path, pattern: str, name: str) -> bool:
    """Return whether a pattern of peft's configuration matches a layer's name."""
    try:
        if NESTED.search(pattern) or len(pattern) > MAX_PATTERN:
            raise re.error("a pattern with repeated groups, or a long one")
        return re.match(rf"(.*\.)?({pattern})$", name) is not None
    except (re.error, RecursionError, OverflowError) as error:
        raise _wrong(path, "alpha_pattern", f"patterns of layers ({error})", pattern) from error


def _wrong(path: Path, key: str, expected: str, got: object) -> BuildError:
    text = repr(got)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return BuildError(
        f"expected {expected} as {key[:80]} in {CONFIG_KEY} of {path}, got {text}: save the LoRA "
        "again"
    )
