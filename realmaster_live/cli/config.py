"""Options from a TOML file: one table a verb, keys named like the flags without their dashes.

    [attach]
    size = "512x288"
    passive = true

What the command line says comes after it and therefore wins.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError


def flags_from(
    path: str | Path, verb: str, *, verbs: Collection[str], keys: Collection[str]
) -> list[str]:
    """Return the table of `verb` as command line flags.

    Args:
        path: the TOML file.
        verb: whose table to read; a file without it gives no flags.
        verbs: all tables that may be in the file.
        keys: all keys that may be in the table.

    Raises:
        ConfigError: the file cannot be read, or holds a name that is not known.
    """
    try:
        with Path(path).open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise ConfigError(
            f"expected a file at {path}, got {error.strerror}: check --config"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected TOML in {path}, got {error}: mend that line") from error
    for name, table in content.items():
        _check(name, verbs, "table", path)
        if not isinstance(table, dict):
            raise ConfigError(
                f"expected [{name}] to be a table in {path}, got {table!r}: put its options below "
                f"a line [{name}]"
            )
    flags: list[str] = []
    for key, value in content.get(verb, {}).items():
        _check(key, keys, f"option of {verb}", path)
        flags += _flag(key, value, path)
    return flags


def _check(name: str, known: Collection[str], kind: str, path: str | Path) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    advice = f"did you mean {near[0]}?" if near else f"use one of {', '.join(sorted(known))}"
    raise ConfigError(f"expected a known {kind} in {path}, got {name!r}: {advice}")


def _flag(key: str, value: Any, path: str | Path) -> list[str]:
    if value is True:
        return [f"--{key}"]
    if value is False:
        return []
    if isinstance(value, list):
        value = ",".join(str(one) for one in value)
    if not isinstance(value, str | int | float):
        raise ConfigError(f"expected text or a number for {key} in {path}, got {value!r}: give one")
    return [f"--{key}={value}"]
