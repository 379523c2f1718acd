"""The stages of a dataset by name; their modules are imported when they are needed.

A module of a per-clip stage has a dataclass `<Name>Config` and `make(config, dataset) -> Stage`; a
module of a whole-dataset step has `<Name>Config` and a function of its own name. A name with a dot
is a module of the user's own, which holds a per-clip stage.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.training.pairs.stage import Stage

PER_CLIP = ("anchors", "edges", "propagate", "gate", "encode")
ORDER = ("plan", "anchors", "edges", "propagate", "gate", "split", "encode", "pack")


def module_of(name: str) -> ModuleType:
    """Return the module of a stage, a step, or a dotted name."""
    if name not in ORDER and "." not in name:
        raise ConfigError(
            f"expected a stage among {', '.join(ORDER)}, got {name!r}: "
            "name one of them, or your own module with its package"
        )
    dotted = name if "." in name else f"realmaster_live.training.pairs.{name}"
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        if error.name is not None and dotted.startswith(error.name):
            raise ConfigError(
                f"expected a module for the stage {name!r}, got none called {dotted}: "
                "write its package and name as in an import"
            ) from error
        raise


def short_name(name: str) -> str:
    """Return what a stage is called in the manifest: the last part of a dotted name."""
    return name.rpartition(".")[2]


def config_of(name: str) -> type[Any]:
    """Return the dataclass that holds a stage's options."""
    word = "".join(part.capitalize() for part in short_name(name).split("_"))
    kind: type[Any] | None = getattr(module_of(name), f"{word}Config", None)
    if kind is None:
        raise ConfigError(
            f"expected a dataclass {word}Config in the module of the stage {name!r}, got none: "
            "add one with a default for every option"
        )
    return kind


def make_stage(name: str, config: Any, dataset: Path) -> Stage:
    """Return the stage of a name; no network is loaded yet."""
    stage: Stage = module_of(name).make(config, dataset)
    return stage


def step_of(name: str) -> Callable[..., Any]:
    """Return the function of a whole-dataset step, such as `split(dataset, config)`."""
    step: Callable[..., Any] = getattr(module_of(name), name)
    return step
