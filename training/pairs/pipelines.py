"""Pretrained diffusers pipelines: from the hub or a folder, in a precision, on a device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from realmaster_live.errors import ConfigError, MissingDependency
from realmaster_live.optional import require

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
OLDEST = (0, 42)  # of diffusers: has all the classes, and takes `dtype`
OFFLOADS = ("none", "model", "sequential")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Where a pipeline's weights are, and how they are held.

    Attributes:
        model: id on the Hugging Face hub, which also names the weights in the manifest.
        licence: of these weights.
        revision: branch, tag or commit on the hub; "" takes the newest.
        folder: a local copy of the model, in diffusers' layout; "" takes the hub's cache.
        dtype: float32, bfloat16 or float16.
        device: as torch names it; "auto" is cuda where there is one.
        offload: what waits in main memory: "none", "model" (all but the network that runs, by
            accelerate) or "sequential" (all but the layer that runs; slow).
    """

    model: str = ""
    licence: str = ""
    revision: str = ""
    folder: str = ""
    dtype: str = "bfloat16"
    device: str = "auto"
    offload: str = "none"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigError(f"expected dtype in {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.offload not in OFFLOADS:
            raise ConfigError(f"expected offload in {', '.join(OFFLOADS)}, got {self.offload!r}")


def load_pipeline(name: str, weights: Weights, *, float32: str = "", **components: Any) -> Any:
    """Return the pipeline class `name` of diffusers with its weights, ready to be called.

    `float32` names a component that keeps full precision; `components` are loaded already.

    Raises:
        ConfigError: the weights are not here and cannot be fetched.
        MissingDependency: diffusers is not installed, or too old.
    """
    diffusers = require("diffusers", extra="pairs")
    major, minor = map(int, diffusers.__version__.split(".")[:2])
    if (major, minor) < OLDEST:
        raise MissingDependency(
            f"expected diffusers {OLDEST[0]}.{OLDEST[1]} or newer, got {diffusers.__version__}: "
            f"run pip install -U 'diffusers>={OLDEST[0]}.{OLDEST[1]}'"
        )
    if weights.folder and not Path(weights.folder).is_dir():
        raise ConfigError(missing_weights(weights, FileNotFoundError("no such folder")))
    dtype: Any = DTYPES[weights.dtype]
    try:
        pipeline = getattr(diffusers, name).from_pretrained(
            weights.folder or weights.model,
            revision=weights.revision or None,
            dtype={"default": dtype, float32: torch.float32} if float32 else dtype,
            local_files_only=bool(weights.folder),
            **components,
        )
    except OSError as error:  # every error of the hub and of a folder's files is one
        raise ConfigError(missing_weights(weights, error)) from error
    pipeline.set_progress_bar_config(disable=True)
    return to_device(pipeline, weights)


def to_device(pipeline: Any, weights: Weights) -> Any:
    """Return the pipeline on its device, or with hooks that bring its networks there in turn."""
    device = weights.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if weights.offload == "none":
        return pipeline.to(device)
    if device == "cpu":
        raise ConfigError(
            f"expected a GPU for offload = {weights.offload!r}, got device cpu: write "
            'offload = "none"'
        )
    require("accelerate", extra="pairs")
    if weights.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.enable_sequential_cpu_offload(device=device)
    return pipeline


def missing_weights(weights: Weights, error: OSError) -> str:
    """Return one sentence: which weights lack, why, and what to run or accept."""
    if weights.folder:
        return (
            f"expected {weights.model} in diffusers' layout in {weights.folder}, got "
            f"{_first_line(error)}: run hf download {weights.model} --local-dir {weights.folder}"
        )
    chain = list(_causes(error))
    kinds = {type(cause).__name__ for cause in chain}
    if "GatedRepoError" in kinds:
        return (
            f"expected access to {weights.model}, which its owner gates: accept its licence "
            f"({weights.licence}) at https://huggingface.co/{weights.model}, then run hf auth "
            f"login and hf download {weights.model}"
        )
    if "RepositoryNotFoundError" in kinds:
        return (
            f"expected the model {weights.model} on the hub, got none that this account may see: "
            "check its name, or run hf auth login"
        )
    return (
        f"expected the weights of {weights.model} (licence {weights.licence}) in the hub's cache "
        f"or from the hub, got {_first_line(chain[-1])}: run hf download {weights.model} where "
        "there is a network, or name a copy with `folder`"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, the hub's own below that of diffusers, and what lies below them."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__} ({lines[0].rstrip('.') if lines else 'no message'})"
