"""The arrays of the RPC layer: build the ones we send, check the ones we are sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from realmaster_live.bridges.carla.wire.layouts import Layout
from realmaster_live.errors import WireFormatError

Triple = tuple[float, float, float]
Six = tuple[float, float, float, float, float, float]


class Description(NamedTuple):
    """What a client asks to spawn, or what an actor was made from."""

    uid: int
    type_id: str
    attributes: dict[str, str]


LARGEST = 1e6  # metres, degrees, seconds: far beyond every town and every sensible request
MOST_ATTRIBUTES = 256  # of one actor
LONGEST_TEXT = 1024  # characters of a name or an attribute's value


def number(item: Any, what: str, largest: float = LARGEST) -> float:
    """Return a float within -largest..largest; raise WireFormatError otherwise."""
    if isinstance(item, (int, float)) and not isinstance(item, bool):
        if abs(item) <= largest:
            return float(item)
        raise WireFormatError(
            f"expected a number within -{largest:g}..{largest:g} for {what}, got {_shown(item)}: "
            "give one in that range"
        )
    raise _unexpected(f"a number within -{largest:g}..{largest:g}", what, item)


def whole(item: Any, what: str) -> int:
    """Return an int of 64 bits; raise WireFormatError otherwise."""
    if isinstance(item, int) and not isinstance(item, bool) and abs(item) < 1 << 64:
        return item
    raise _unexpected("a whole number", what, item)


def flag(item: Any, what: str) -> bool:
    """Return a bool; raise WireFormatError otherwise."""
    if isinstance(item, bool):
        return item
    raise _unexpected("a bool", what, item)


def text(item: Any, what: str, longest: int = LONGEST_TEXT) -> str:
    """Return a str of at most `longest` characters; raise WireFormatError otherwise."""
    if not isinstance(item, str):
        raise _unexpected("a string", what, item)
    if len(item) > longest:
        raise WireFormatError(
            f"expected a string of at most {longest} characters for {what}, got one of "
            f"{len(item)}: give a shorter one"
        )
    return item


def array(item: Any, what: str, at_least: int = 0, at_most: int | None = None) -> list[Any]:
    """Return a list of `at_least` to `at_most` items; raise WireFormatError otherwise."""
    if isinstance(item, list) and len(item) >= at_least and (at_most or len(item)) >= len(item):
        return item
    limit = "" if at_most is None else f" and at most {at_most}"
    raise _unexpected(f"an array of {at_least} or more{limit}", what, item)


def triple(item: Any, what: str, largest: float = LARGEST) -> Triple:
    """Return three floats within -largest..largest; raise WireFormatError otherwise."""
    x, y, z = (number(part, what, largest) for part in array(item, what, 3)[:3])
    return x, y, z


def transform(item: Any, what: str = "transform") -> Six:
    """Return x, y, z, pitch, yaw, roll; raise WireFormatError otherwise."""
    location, rotation = array(item, what, 2)[:2]
    return (*triple(location, what), *triple(rotation, what))


def description(item: Any) -> Description:
    """Return what a client asks to spawn; raise WireFormatError otherwise."""
    uid, type_id, attributes = array(item, "actor description", 3)[:3]
    values = {}
    for one in array(attributes, "attributes", at_most=MOST_ATTRIBUTES):
        name, _, held = array(one, "attribute", 3)[:3]
        values[text(name, "attribute id")] = text(held, "attribute value")
    return Description(whole(uid, "blueprint uid"), text(type_id, "blueprint id"), values)


def optional(item: Any, what: str) -> Any:
    """Return the value of an optional, or None."""
    parts = array(item, what, 1)
    return parts[1] if flag(parts[0], what) and len(parts) > 1 else None


def place(pose: Sequence[float]) -> list[list[float]]:
    """Return the wire's Transform of x, y, z, pitch, yaw, roll."""
    return [list(pose[:3]), list(pose[3:6])]


def box(
    layout: Layout,
    centre: Triple,
    extent: Triple,
    rotation: Triple = (0.0, 0.0, 0.0),
    actor: int = 0,
) -> list[Any]:
    """Return the wire's BoundingBox."""
    tail = [actor] if layout.box_has_actor else []
    return [list(centre), list(extent), list(rotation), *tail]


def attribute_values(layout: Layout, values: Iterable[tuple[str, str, str]]) -> list[Any]:
    """Return the wire's attribute values of (id, kind, value)."""
    return [[name, layout.attribute_kind(kind), held] for name, kind, held in values]


def attribute_definition(
    layout: Layout,
    name: str,
    kind: str,
    default: str,
    recommended: Sequence[str],
    modifiable: bool,
    restricted: bool,
) -> list[Any]:
    """Return the wire's definition of one attribute."""
    number_of = layout.attribute_kind(kind)
    return [name, number_of, default, list(recommended), modifiable, restricted]


def _unexpected(wanted: str, what: str, item: Any) -> WireFormatError:
    return WireFormatError(
        f"expected {wanted} for {what}, got {_shown(item)}: use a client of the server's version"
    )


def _shown(item: Any) -> str:
    """Return the beginning of an item's text; a long list is not written out for it."""
    if isinstance(item, list):
        return f"an array of {len(item)}"
    return repr(item[:80] if isinstance(item, (str, bytes)) else item)[:80]
