"""Recipes of a dataset: pairs.toml, one table a stage, one frozen dataclass a table.

The dataset holds its resolved recipe. A table that is named after a module of your own, such as
["my_package.blur"], is a stage too.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.jobs.work import RunConfig
from realmaster_live.system.atomic_files import write_text
from realmaster_live.system.texts import parse_toml
from realmaster_live.training.pairs.stages import ORDER, config_of

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
        config: RunConfig = build(RunConfig, self.tables.get(RUN, {}), f"[{RUN}]")
        return config

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
    try:
        tables = parse_toml(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"expected a recipe in TOML at {path}, got {error}: "
            "realmaster pairs plan DATASET --print-config shows one"
        ) from error
    known = (RUN, *ORDER)
    for name, keys in REMOVED.items():  # a dataset keeps every key of the version that made it
        for key in keys if isinstance(tables.get(name), dict) else ():
            tables[name].pop(key, None)
    for name, content in tables.items():
        if not isinstance(content, dict):
            raise ConfigError(f"expected tables only, got {name} = {content!r}: put it in a table")
        if name not in known and "." not in name:
            raise ConfigError(f"expected a known table, got [{name}]: {_near(name, known)}")
    return Recipe(tables=tables)


def build(kind: type[Any], table: Mapping[str, Any], where: str) -> Any:
    """Return the dataclass of a table.

    Raises:
        ConfigError: for an unknown key, naming the nearest, or a value of the wrong type.
    """
    hints = typing.get_type_hints(kind)
    known = [entry.name for entry in dataclasses.fields(kind)]
    values = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"expected a known key in {where}, got {key!r}: {_near(key, known)}")
        values[key] = _typed(hints[key], value, f"{key} in {where}")
    return kind(**values)


def _typed(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the type of a field wants it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        chosen = [kind for kind in inner if kind is not type(None)]
        return _typed(chosen[0], value, where) if len(chosen) == 1 else value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return build(hint, value, where)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = inner[:1] * len(value) if inner[-1] is ... else inner
        if len(kinds) == len(value):
            return tuple(_typed(k, v, where) for k, v in zip(kinds, value, strict=True))
    if origin is typing.Literal and value in inner:
        return value
    if hint is float and type(value) in (int, float):
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    if origin in (dict, Mapping) or hint is Any:
        return value
    raise ConfigError(f"expected {_worded(hint)} for {where}, got {value!r}: change its value")


def _worded(hint: Any) -> str:
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    return names.get(hint, str(hint).replace("...", "…"))


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}" if near else f"use one of {', '.join(known)}"


def to_toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return tables as TOML; a key whose value is None is left out."""
    return "\n".join(_table(name, table) for name, table in tables.items())


def _table(name: str, table: Mapping[str, Any], above: str = "") -> str:
    """Return one table and the tables in it."""
    header = above + (json.dumps(name) if "." in name else name)
    plain = {k: v for k, v in table.items() if v is not None and not isinstance(v, dict)}
    lines = [
        f"[{header}]",
        *(f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in plain.items()),
    ]
    inner = [_table(k, v, f"{header}.") for k, v in table.items() if isinstance(v, dict)]
    return "\n".join([*lines, "", *inner])


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
