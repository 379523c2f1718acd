"""Recipes of a dataset: pairs.toml, one table a stage, one frozen dataclass a table.

The dataset holds its resolved recipe. A table that is named after a module of your own, such as
["my_package.blur"], is a stage too.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.jobs.work import RunConfig
from realmaster_live.system.atomic_files import write_text
from realmaster_live.training.pairs.stages import ORDER, config_of
from realmaster_live.training.recipe_tables import build, near, read_table, to_toml

FILE, RUN = "pairs.toml", "run"
REMOVED = {"propagate": ("prompt",)}  # keys of earlier versions that have no meaning any more
# where a network is stored and runs, which does not change what it makes
PLACES = ("folder", "device", "offload")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The options of every stage; a stage's module is imported when its options are read.

    Attributes:
        tables: table name -> keys, as they stand in TOML; what is left out has its default.
    """

    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def run(self) -> RunConfig:
        """Return how the work is done: table [run]."""
        return build(RunConfig, self.tables.get(RUN, {}), f"[{RUN}]")

    @property
    def own(self) -> tuple[str, ...]:
        """Return the dotted names of the stages that are not the package's."""
        return tuple(name for name in self.tables if "." in name)

    def config(self, name: str) -> Any:
        """Return the options of a stage."""
        return build(config_of(name), self.tables.get(name, {}), f"[{name}]")

    def resolved(self) -> dict[str, dict[str, Any]]:
        """Return every table with every key; raises ConfigError where one is wrong."""
        every = {name: self.config(name) for name in (*ORDER, *self.own)} | {RUN: self.run}
        return {name: json.loads(json.dumps(dataclasses.asdict(c))) for name, c in every.items()}


def load_recipe(path: Path | None) -> Recipe:
    """Return the recipe in a TOML file, or the defaults."""
    if path is None:
        return Recipe()
    tables = read_table(path, "realmaster pairs plan DATASET --print-config shows one")
    known = (RUN, *ORDER)
    for name, keys in REMOVED.items():  # a dataset keeps every key of the version that made it
        for key in keys if isinstance(tables.get(name), dict) else ():
            tables[name].pop(key, None)
    for name, content in tables.items():
        if not isinstance(content, dict):
            raise ConfigError(f"expected tables only, got {name} = {content!r}: put it in a table")
        if name not in known and "." not in name:
            raise ConfigError(f"expected a known table, got [{name}]: {near(name, known)}")
    return Recipe(tables=tables)


def read_recipe(dataset: Path) -> Recipe:
    """Return the recipe that a dataset keeps, or the defaults."""
    path = dataset / FILE
    return load_recipe(path if path.exists() else None)


def differences(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return the keys, such as "edges.low: 100 -> 80", that decide content and differ."""
    found = []
    for name in sorted((before.keys() | after.keys()) - {RUN}):
        was, wanted = before.get(name, {}), after.get(name, {})
        found += [
            f"{name}.{key}: {was.get(key)!r} -> {wanted.get(key)!r}"
            for key in sorted(was.keys() | wanted.keys())
            if key not in PLACES and was.get(key) != wanted.get(key)
        ]
    return found


def choose_recipe(dataset: Path, given: Path | None, *, accept_change: bool = False) -> Recipe:
    """Return the recipe to work by.

    Args:
        dataset: its folder.
        given: a recipe file, or None for the one that the dataset keeps, or else the defaults.
        accept_change: whether `given` may differ from what the dataset keeps.

    Raises:
        ConfigError: the two differ in what is made, which would make files beside the old ones.
    """
    path = dataset / FILE
    if path.exists() and given is None:
        return load_recipe(path)
    tables = load_recipe(given).resolved()
    changed = differences(load_recipe(path).resolved(), tables) if path.exists() else []
    if changed and not accept_change:
        raise ConfigError(
            f"expected the recipe that {path} keeps, got one that differs in "
            f"{'; '.join(changed)}: leave --recipe out, or give --accept-change to go on with it"
        )
    return Recipe(tables=tables)


def keep_recipe(dataset: Path, recipe: Recipe) -> None:
    """Write a recipe into its dataset, resolved."""
    path, text = dataset / FILE, to_toml(recipe.resolved())
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    write_text(path, text)
