"""What the text after a flag may be, and the value that it stands for."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

SIZE_TEXT = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
SHARD_TEXT = re.compile(r"(\d+)/([1-9]\d*)")
ADDRESS_TEXT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\s]+):(\d{1,5})")


@dataclass(frozen=True, kw_only=True)
class Value:
    """A kind of value.

    Attributes:
        read: Returns the value of a text; raises ValueError where the text is none.
        expected: What a text has to be, as an error says it: "a size such as 512x288".
        metavar: What stands for the text in a usage line.
        choices: All texts there are, where that is known.
    """

    read: Callable[[str], Any]
    expected: str
    metavar: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Flag:
    """How a field appears on the command line, where its name and type do not say it.

    Attributes:
        name: Of the flag without its dashes, where it is not the field's.
        positional: An argument without a flag.
        after_dashes: Of a positional one: usage lines show it last, after "--".
        several: The flag takes several values at once; any flag of many may also be repeated.
        hidden: Not for people: help and completion leave it out.
        metavar: What stands for the text in a usage line.
        note: What the help says after the field's own text.
        formerly: The flag's earlier name, which still works and says the new one.
    """

    name: str = ""
    positional: bool = False
    after_dashes: bool = False
    several: bool = False
    hidden: bool = False
    metavar: str = ""
    note: str = ""
    formerly: str = ""


class Fields:
    """How the fields of a group appear, whose dataclass belongs to another package.

    Each argument holds the notes of one field: a Value, a Flag, or both.
    """

    def __init__(self, **notes: tuple[Any, ...]) -> None:
        self.notes = notes


def number(
    kind: type[int] | type[float],
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    metavar: str = "N",
) -> Value:
    """Return a kind of finite numbers within limits; `above` is a limit that is left out."""

    def read(text: str) -> float:
        value = kind(text)
        if not math.isfinite(value) or value < least or value <= above or value > most:
            raise ValueError(text)
        return value

    limits = [f"of {least:g} or more"] if math.isfinite(least) else []
    limits += [f"above {above:g}"] if math.isfinite(above) else []
    if math.isfinite(most):
        limits = [f"from {least:g} to {most:g}"] if math.isfinite(least) else limits
        limits = [f"above {above:g} and up to {most:g}"] if math.isfinite(above) else limits
    name = "a whole number" if kind is int else "a number"
    return Value(read=read, expected=" ".join([name, *limits]), metavar=metavar)


def read_size(text: str) -> tuple[int, int]:
    """Return (width, height) of text such as 512x288."""
    found = _match(SIZE_TEXT, text)
    return int(found[1]), int(found[2])


def read_shard(text: str) -> tuple[int, int]:
    """Return (i, n) of text such as 0/4."""
    found = _match(SHARD_TEXT, text)
    index, count = int(found[1]), int(found[2])
    if index >= count:
        raise ValueError(text)
    return index, count


def read_address(text: str) -> tuple[str, int]:
    """Return host and port of text such as 127.0.0.1:2000."""
    found = _match(ADDRESS_TEXT, text)
    if int(found[2]) > 65535:
        raise ValueError(text)
    return found[1], int(found[2])


def read_names(text: str) -> tuple[str, ...]:
    """Return the names of a list such as front,back; "none" and "" stand for no name."""
    names = (name.strip() for name in text.split(","))
    return tuple(name for name in names if name and name != "none")


def read_labels(text: str) -> tuple[str, ...]:
    """Return the label names of a list such as depth,semantic."""
    from realmaster_live.frames.chunk import LABEL_DTYPES

    names = read_names(text)
    if not LABEL_DTYPES.keys() >= set(names):
        raise ValueError(text)
    return names


def read_sensors(text: str) -> tuple[str, ...]:
    """Return the sensors of text such as imu,lidar; none gives none."""
    from realmaster_live.frames.rig_sensors import SENSOR_KINDS

    names = read_names(text)
    if not SENSOR_KINDS.keys() >= set(names):
        raise ValueError(text)
    return tuple(dict.fromkeys(names))


def read_numbers(text: str) -> dict[str, float]:
    """Return the numbers of a list such as edges=0.8,boxes=0.4."""
    numbers = {}
    for part in read_names(text):
        name, _, value = part.partition("=")
        numbers[name] = float(value)
        if not math.isfinite(numbers[name]):
            raise ValueError(text)
    return numbers


def read_ego(text: str) -> str | int:
    """Return an actor id, or a role name."""
    return int(text) if text.isdecimal() else _read_text(text)


def read_lora(text: str) -> tuple[Path, float]:
    """Return path and strength of text such as snow.safetensors:0.8."""
    name, colon, strength = text.rpartition(":")
    if colon and name:
        try:
            value = float(strength)
        except ValueError:
            return _read_path(text), 1.0  # a colon in the file's name
        if math.isfinite(value):
            return _read_path(name), value
        raise ValueError(text)
    return _read_path(text), 1.0


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return found


def _read_text(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(text)
    return text


def _read_path(text: str) -> Path:
    return Path(_read_text(text))


SIZE = Value(read=read_size, expected="a size such as 512x288", metavar="WxH")
TEXT = Value(read=_read_text, expected="some text", metavar="TEXT")
PATH = Value(read=_read_path, expected="a path", metavar="PATH")
NAMES = Value(read=read_names, expected="names with commas between them", metavar="NAME,...")
LORA = Value(
    read=read_lora, expected="a file such as snow.safetensors:0.8", metavar="FILE[:STRENGTH]"
)
BY_TYPE: dict[Any, Value] = {
    int: number(int),
    float: number(float, metavar="X"),
    str: TEXT,
    Path: PATH,
    tuple[int, int]: SIZE,
    tuple[Path, float]: LORA,
}

METRES = number(float, above=0, most=1e6, metavar="M")
RATE = number(float, above=0, most=1000, metavar="HZ")
COUNT = number(int, least=1)
Seconds = Annotated[float, number(float, above=0, most=1e7, metavar="S")]
Rate = Annotated[float, RATE]
Count = Annotated[int, COUNT]
Natural = Annotated[int, number(int, least=0)]
Port = Annotated[int, number(int, least=0, most=65535, metavar="PORT")]
Degrees = Annotated[float, number(float, above=0, most=179.9, metavar="DEG")]
Metres = Annotated[float, METRES]
Names = Annotated[tuple[str, ...], NAMES]
Labels = Annotated[
    tuple[str, ...],
    Value(
        read=read_labels,
        expected="labels out of depth, semantic, instance and flow, or none",
        metavar="LABEL,...",
    ),
]
Sensors = Annotated[
    tuple[str, ...],
    Value(
        read=read_sensors,
        expected="sensors out of imu, gnss, collision, lane_invasion, lidar, semantic_lidar and "
        "radar, or none",
        metavar="SENSOR,...",
    ),
]
Shard = Annotated[
    tuple[int, int], Value(read=read_shard, expected="a share such as 0/4", metavar="I/N")
]
Address = Annotated[
    tuple[str, int],
    Value(read=read_address, expected="HOST:PORT such as 127.0.0.1:2000", metavar="HOST:PORT"),
]


def value_of(hint: Any) -> tuple[Value | None, bool]:
    """Return the kind of value of a type hint, and whether there are many of them.

    A switch has no value. `tuple[X, ...]` is many X; numbers and sizes have commas between them.
    """
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        own = next((note for note in notes if isinstance(note, Value)), None)
        return (own, False) if own is not None else value_of(inner)
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (one for one in get_args(hint) if one is not type(None))
        return value_of(inner)
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        return choice(map(str, choices), type(choices[0])), False
    if hint is bool:
        return None, False
    if hint in BY_TYPE:
        return BY_TYPE[hint], False
    if get_origin(hint) is tuple and get_args(hint)[1:] == (...,):
        element = get_args(hint)[0]
        value = value_of(element)[0]
        if element in (int, float, tuple[int, int]) and value is not None:
            return _listed(value), False
        return value, True
    raise TypeError(f"no kind of value for {hint}")


def _listed(value: Value) -> Value:
    return Value(
        read=lambda text: tuple(map(value.read, text.split(","))),
        expected=f"a list, each of it {value.expected}",
        metavar=f"{value.metavar},...",
    )


def choice(names: Iterable[str], kind: Callable[[str], Any] = str) -> Value:
    """Return the kind of value that is one of some names."""
    choices = tuple(names)

    def read(text: str) -> Any:
        if text not in choices:
            raise ValueError(text)
        return kind(text)

    expected = "one of " + ", ".join(choices)
    return Value(read=read, expected=expected, metavar="|".join(choices), choices=choices)


def show(value: Any) -> str:
    """Return the text that stands for a value."""
    if isinstance(value, tuple):
        if len(value) == 2 and isinstance(value[1], int):
            return f"{value[0]}{'x' if isinstance(value[0], int) else ':'}{value[1]}"
        return ",".join(map(show, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, if one is."""
    return next(iter(difflib.get_close_matches(name, known, 1, cutoff=0.5)), None)
