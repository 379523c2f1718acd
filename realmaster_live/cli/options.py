"""The options of a verb, read off its dataclass: flags, kinds of values, defaults, help.

A field is a flag of its name, `game_size` is `--game-size`; a field that is a dataclass itself is
a group of flags. The help is what the class's docstring says of the field below "Attributes:".
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from realmaster_live.cli.values import PATH, Fields, Flag, Value, show, value_of

NO_DEFAULT = dataclasses.MISSING
T = TypeVar("T")
ATTRIBUTE = re.compile(r" {4}(\w+): (.*)")


@dataclass(frozen=True, kw_only=True)
class Option:
    """One flag, or one argument without a flag.

    Attributes:
        path: Names of the field and of the fields that hold it.
        key: Name in a configuration file: the flag without its dashes.
        value: None for a switch.
        many: Whether the field holds many values, so that the flag may be repeated.
        group: Heading in the help; "" for the verb's own options.
    """

    path: tuple[str, ...]
    key: str
    value: Value | None
    many: bool
    default: Any
    help: str
    group: str
    flag: Flag

    @property
    def name(self) -> str:
        """What errors and the help call it: the flag, or the argument's metavar."""
        if self.flag.positional:
            return self.metavar
        return f"--no-{self.key}" if self.default is True else f"--{self.key}"

    @property
    def metavar(self) -> str:
        """What stands for the value in a usage line."""
        if self.flag.metavar or self.value is None:
            return self.flag.metavar
        plain = self.value.metavar in ("PATH", "TEXT") and not self.flag.positional
        return self.value.metavar if plain or not self.flag.positional else self.path[-1].upper()

    @property
    def is_file(self) -> bool:
        """Whether the value is a path."""
        return self.value is PATH

    @property
    def explained(self) -> str:
        """The help with the default."""
        text = self.help
        if self.default is NO_DEFAULT and not self.flag.positional:
            return f"{text} Required."
        if self.value is None or self.default in (None, NO_DEFAULT, "", (), {}, math.inf):
            return text
        return f"{text} Default: {show(self.default)}."


def options_of(cls: type) -> tuple[Option, ...]:
    """Return the options of a dataclass and of the dataclasses that it holds."""
    return _known_options(cls)


@functools.cache
def _known_options(cls: type) -> tuple[Option, ...]:
    return tuple(_options(cls, (), "", {}))


def _options(
    cls: type, path: tuple[str, ...], group: str, notes: Mapping[str, tuple[Any, ...]]
) -> Iterator[Option]:
    hints, texts = get_type_hints(cls, include_extras=True), attribute_texts(cls)
    for field in dataclasses.fields(cls):
        hint, own = hints[field.name], (*path, field.name)
        if notes.get(field.name):
            hint = Annotated[hint, *notes[field.name]]
        inner, *its_notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if dataclasses.is_dataclass(inner):
            assert isinstance(inner, type)
            fields = next((note.notes for note in its_notes if isinstance(note, Fields)), {})
            yield from _options(inner, own, summary(inner).removesuffix("."), fields)
            continue
        value, many = value_of(hint)
        default = field.default
        if field.default_factory is not NO_DEFAULT:
            default = field.default_factory()
        flag = next(_flags(hint), Flag())
        yield Option(
            path=own,
            key=flag.name or field.name.replace("_", "-"),
            value=value,
            many=many,
            default=default,
            help=" ".join(filter(None, (texts.get(field.name, ""), flag.note))),
            group=group,
            flag=flag,
        )


def _flags(hint: Any) -> Iterator[Flag]:
    if get_origin(hint) is Annotated:
        yield from (note for note in get_args(hint)[1:] if isinstance(note, Flag))


def summary(cls: type) -> str:
    """Return the first line of a class's docstring."""
    return (cls.__doc__ or "").partition("\n")[0]


def description(cls: type) -> list[str]:
    """Return the paragraphs of a class's docstring above "Attributes:"."""
    text = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")[0]
    return [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]


def attribute_texts(cls: type) -> dict[str, str]:
    """Return what docstrings say of each field, those of base classes too."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        lines = inspect.cleandoc(base.__dict__.get("__doc__") or "").partition("Attributes:\n")[2]
        name = ""
        for line in lines.splitlines():
            found = ATTRIBUTE.fullmatch(line)
            if found:
                name, texts[found[1]] = found[1], found[2]
            elif name and line.startswith(" " * 8):
                texts[name] += " " + line.strip()
            else:
                name = ""
    return texts


def build(cls: type[T], values: Mapping[tuple[str, ...], Any]) -> T:
    """Return the dataclass that holds `values`, by path; what is not there has its default."""
    hints = get_type_hints(cls)
    given = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            inner = {path[1:]: one for path, one in values.items() if path[0] == field.name}
            given[field.name] = build(hint, inner)
        elif (field.name,) in values:
            given[field.name] = values[(field.name,)]
    return cls(**given)
