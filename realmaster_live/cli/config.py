"""Options from a TOML file: one table a verb, keys named like the flags without their dashes.

[attach]
size = "512x288"
passive = true

[dataset.export]
to = "coco"
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from realmaster_live.cli.values import nearest
from realmaster_live.cli.verbs import RENAMED, VERBS, Verb
from realmaster_live.errors import ConfigError
from realmaster_live.system.texts import read_toml

RENAMED_TABLES = {".".join(old): ".".join(new) for old, new in RENAMED.items()}


def read_table(
    path: str,
    verb: Sequence[str],
    *,
    keys: Collection[str],
    tables: Sequence[Collection[str]],
    renamed: Mapping[str, str],
) -> dict[str, Any]:
    """Return the options in a verb's table: switches as they are, all other values as texts.

    Args:
        path: the TOML file.
        verb: whose table to read, ("dataset", "export"); a file without it gives no options.
        keys: all keys that may be in the table.
        tables: the tables that may be in the file, in the first verb's table, and so on.
        renamed: earlier key -> the one that it is now.

    Raises:
        ConfigError: the file cannot be read, or holds a name that is not known.
    """
    try:
        content = read_toml(path)
    except OSError as error:
        raise ConfigError(
            f"expected a file at {path}, got {error.strerror}: check --config"
        ) from error
    except ValueError as error:
        raise ConfigError(f"expected TOML in {path}, got {error}: correct that line") from error
    for depth, name in enumerate(verb):
        where = ".".join(verb[:depth])
        for key, table in content.items():
            if key in tables[depth] and not isinstance(table, dict):
                raise ConfigError(
                    f"expected [{key}] to be a table in {path}, got {table!r}: put its options "
                    f"below a line [{key}]"
                )
            if where and not isinstance(table, dict) and not _has_options(verb[:depth]):
                raise ConfigError(
                    f"expected only tables in [{where}] of {path}, got {key!r}: put it below a "
                    f"line [{'.'.join(verb[: depth + 1])}]"
                )
            if depth == 0 or isinstance(table, dict):
                kind = f"table of {where}" if where else "table"
                _check(key, tables[depth], kind, path, {} if where else RENAMED_TABLES)
        content = content.get(name, {})
    options = {}
    for key, value in content.items():
        if key not in tables[len(verb)]:
            _check(key, keys, f"option of {' '.join(verb)}", path, renamed)
            options[key] = _text(key, value, path)
    return options


def _has_options(verb: Sequence[str]) -> bool:
    """Return whether a verb has options of its own, beside the verbs below it."""
    found = Verb(verbs=VERBS)
    for name in verb:
        found = found.verbs[name]
    return bool(found.options)


def _check(
    name: str, known: Collection[str], kind: str, path: str, renamed: Mapping[str, str]
) -> None:
    if name in known:
        return
    if name in renamed:
        raise ConfigError(
            f"expected a known {kind} in {path}, got {name!r}, which is now called "
            f"{renamed[name]}: rename it"
        )
    near = nearest(name, known)
    advice = f"did you mean {near}?" if near else f"use one of {', '.join(sorted(known))}"
    raise ConfigError(f"expected a known {kind} in {path}, got {name!r}: {advice}")


def _text(key: str, value: Any, path: str) -> Any:
    """Return a switch as it is, numbers as text, and several values as a list of texts."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return [_text(key, one, path) for one in value]
    if isinstance(value, dict):
        return ",".join(f"{name}={number}" for name, number in value.items())
    raise ConfigError(f"expected text or a number for {key} in {path}, got {value!r}: give one")
