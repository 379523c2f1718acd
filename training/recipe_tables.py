"""Tables of recipes in TOML, with a frozen dataclass for each: unknown keys are errors."""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from realmaster_live.errors import ConfigError, reason
from realmaster_live.system.texts import parse_toml

WHOLE = "the recipe"  # where the keys are that stand in no table
T = TypeVar("T")


def read_table(path: Path | str, remedy: str = "start from embedded.toml") -> dict[str, Any]:
    """Return the parsed TOML of a recipe; ConfigError where it is none."""
    try:
        return parse_toml(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"expected a recipe in TOML at {path}, got {reason(error)}: {remedy}"
        ) from error


def build(kind: type[T], table: Mapping[str, Any], where: str = WHOLE, begin: T | None = None) -> T:
    """Return the dataclass of a table; what the table leaves out is as in `begin`, or the default.

    Raises:
        ConfigError: for an unknown key, naming the nearest, or a value of the wrong type.
    """
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in fields:
            raise ConfigError(f"expected a known key in {where}, got {key!r}: {near(key, fields)}")
        is_table = where == WHOLE and isinstance(value, dict)
        place = f"[{key}]" if is_table else f"{key} in {where}"
        values[key] = _typed(hints[key], value, place, _default(fields[key]))
    return kind(**values) if begin is None else dataclasses.replace(begin, **values)  # type: ignore[type-var]


def _default(field: dataclasses.Field[Any]) -> Any:
    """Return a field's default, None where it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _typed(hint: Any, value: Any, where: str, begin: Any = None) -> Any:
    """Return `value` as the type of a field wants it; a table changes `begin`."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        chosen = [kind for kind in inner if kind is not type(None)]
        return _typed(chosen[0], value, where, begin) if len(chosen) == 1 else value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return build(hint, value, where, begin)
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
    if dataclasses.is_dataclass(hint):
        return "a table"
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    return names.get(hint, str(hint).replace("...", "…"))


def near(word: str, known: Iterable[str]) -> str:
    """Return which known name was probably meant, or all of them, for the end of an error."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {found[0]!r}" if found else f"use one of {', '.join(known)}"


def to_toml(table: Mapping[str, Any], above: str = "") -> str:
    """Return a nested table of plain values as TOML; a key whose value is None is left out."""
    tables = {name: inner for name, inner in table.items() if isinstance(inner, Mapping)}
    lines = [
        f"{key} = {_toml(value)}\n"
        for key, value in table.items()
        if value is not None and key not in tables
    ]
    for name, inner in tables.items():
        header = above + (json.dumps(name) if "." in name else name)
        lines += [f"\n[{header}]\n", to_toml(inner, f"{header}.")]
    return "".join(lines) if above else "".join(lines).lstrip("\n")


def _toml(value: Any) -> str:
    """Return a plain value as TOML writes it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def flat(recipe: Any) -> dict[str, Any]:
    """Return a recipe's values as JSON has them, those of tables by dotted keys."""
    values: dict[str, Any] = {}
    for name, value in json.loads(json.dumps(dataclasses.asdict(recipe))).items():
        inner = value if isinstance(value, dict) else None
        values |= {name: value} if inner is None else {f"{name}.{k}": v for k, v in inner.items()}
    return values
