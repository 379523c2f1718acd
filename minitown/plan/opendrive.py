"""OpenDRIVE 1.4 text of a town, as the CARLA client's Map reads it.

OpenDRIVE is right-handed seen from above (y to the left of CARLA's), so y, headings and curvatures
change sign here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from realmaster_live.minitown.plan.layout import (
    CROSSING_DEPTH,
    LANE_WIDTH,
    SIDEWALK_WIDTH,
    Layout,
    Street,
)
from realmaster_live.minitown.plan.paths import Path
from realmaster_live.minitown.plan.roads import LaneKey, Sign, Signal

GEO_REFERENCE = (
    "+proj=tmerc +lat_0=49 +lon_0=8 +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m "
    "+geoidgrids=egm96_15.gtx +vunits=m +no_defs"
)
LIGHT_TYPE, LIMIT_TYPE, YIELD_TYPE, STOP_TYPE = "1000001", "274", "205", "206"
CROSSWALK_WIDTH = 3.0


@dataclass(frozen=True, kw_only=True)
class Connection:
    """One lane's way through a junction, a road of its own with the single lane -1."""

    road: int
    junction: int
    source: LaneKey
    source_at_end: bool
    target: LaneKey
    target_at_end: bool
    centre: Path
    turn: str


def opendrive_text(
    name: str,
    layout: Layout,
    connections: Sequence[Connection],
    signals: Mapping[int, Signal],
    signs: Sequence[Sign],
) -> str:
    """Return the whole network as OpenDRIVE 1.4 XML."""
    root = Element("OpenDRIVE")
    header = SubElement(
        root, "header", revMajor="1", revMinor="4", name=name, version="1.0", vendor="minitown"
    )
    SubElement(header, "geoReference").text = GEO_REFERENCE
    at_street: dict[int, list[tuple[bool, Signal]]] = {}
    for junction in layout.junctions.values():
        own = [signal for signal in signals.values() if signal.junction == junction.id]
        for arm, signal in zip(junction.arms, own, strict=True):
            at_street.setdefault(arm.street.id, []).append((arm.at_end, signal))
    for street in layout.streets.values():
        own_signs = [sign for sign in signs if sign.road == street.id]
        _street(root, street, at_street.get(street.id, []), own_signs)
    for link in connections:
        _connection(root, link)
    controllers = _controllers(root, signals)
    for junction_id in layout.junctions:
        _junction(root, junction_id, connections, controllers)
    indent(root)
    return '<?xml version="1.0" standalone="yes"?>\n' + tostring(root, encoding="unicode") + "\n"


def _number(value: float) -> str:
    return f"{value:.9f}"


def _road(root: Element, road: int, name: str, path: Path, junction: int) -> Element:
    element = SubElement(
        root, "road", name=name, length=_number(path.length), id=str(road), junction=str(junction)
    )
    return element


def _plan(element: Element, path: Path, speed: float) -> None:
    kind = SubElement(element, "type", s="0", type="town")
    SubElement(kind, "speed", max=f"{speed * 3.6:.0f}", unit="km/h")
    plan = SubElement(element, "planView")
    s = 0.0
    for g in path.segments:
        geometry = SubElement(
            plan,
            "geometry",
            s=_number(s),
            x=_number(g.x),
            y=_number(-g.y),
            hdg=_number(-g.heading),
            length=_number(g.length),
        )
        if g.curvature:
            SubElement(geometry, "arc", curvature=f"{-g.curvature:.12f}")
        else:
            SubElement(geometry, "line")
        s += g.length
    profile = SubElement(element, "elevationProfile")
    SubElement(profile, "elevation", s="0", a="0", b="0", c="0", d="0")
    SubElement(element, "lateralProfile")


def _lane(
    parent: Element, number: int, kind: str, width: float, mark: tuple[str, str, str] | None
) -> Element:
    lane = SubElement(parent, "lane", id=str(number), type=kind, level="false")
    link = SubElement(lane, "link")
    if number:
        SubElement(lane, "width", sOffset="0", a=_number(width), b="0", c="0", d="0")
    if mark:
        style, colour, change = mark
        SubElement(
            lane,
            "roadMark",
            sOffset="0",
            type=style,
            weight="standard",
            color=colour,
            width="0.15",
            laneChange=change,
        )
    return link


def _street(
    root: Element,
    street: Street,
    signals: Sequence[tuple[bool, Signal]],
    signs: Sequence[Sign],
) -> None:
    path = street.path
    element = _road(root, street.id, f"Street {street.id}", path, -1)
    link = SubElement(element, "link")
    for tag, junction in (("predecessor", street.start), ("successor", street.end)):
        SubElement(link, tag, elementType="junction", elementId=str(junction))
    _plan(element, path, street.speed_limit)
    lanes = SubElement(element, "lanes")
    SubElement(lanes, "laneOffset", s="0", a="0", b="0", c="0", d="0")
    section = SubElement(lanes, "laneSection", s="0")
    left, centre, right = (SubElement(section, side) for side in ("left", "center", "right"))
    profile = _profile(street)
    for number in range(len(profile), 0, -1):
        _lane(left, number, *profile[number - 1])
    _lane(centre, 0, "none", 0, ("solid solid" if street.lanes > 1 else "broken", "white", "none"))
    for number in range(1, len(profile) + 1):
        _lane(right, -number, *profile[number - 1])
    objects = SubElement(element, "objects")
    for at_end, _ in signals:
        _crosswalk(objects, street, at_end)
    group = SubElement(element, "signals")
    for at_end, signal in signals:
        _signal(group, street, at_end, signal)
    for sign in signs:
        _sign(group, street, sign)


def _profile(street: Street) -> list[tuple[str, float, tuple[str, str, str] | None]]:
    """Return (type, width, outer road mark) from the middle outwards."""
    kind = "parking" if street.parking else "shoulder"
    inner = [("driving", LANE_WIDTH, ("broken", "white", "both"))] * (street.lanes - 1)
    return [
        *inner,
        ("driving", LANE_WIDTH, ("solid", "white", "none")),
        (kind, street.edge_width, ("curb", "white", "none")),
        ("sidewalk", SIDEWALK_WIDTH, None),
    ]


def _signal(group: Element, street: Street, at_end: bool, signal: Signal) -> None:
    _beside_road(
        group,
        street,
        backwards=not at_end,
        s=street.path.length - 0.1 if at_end else 0.1,
        values={
            "name": f"Light {signal.id}",
            "id": str(signal.id),
            "dynamic": "yes",
            "type": LIGHT_TYPE,
            "value": "-1",
            "text": "",
            "height": "3.4",
            "width": "0.4",
        },
    )


def _sign(group: Element, street: Street, sign: Sign) -> None:
    limit = "" if sign.speed_limit is None else f"{sign.speed_limit * 3.6:.0f}"
    name, kind = (f"Limit {limit}", LIMIT_TYPE) if limit else ("Yield", YIELD_TYPE)
    if sign.is_stop:
        name, kind = "Stop", STOP_TYPE
    values = {
        "name": name,
        "id": str(sign.id),
        "dynamic": "no",
        "type": kind,
        "value": limit or "-1",
        "text": limit,
        "height": "0.64",
        "width": "0.64",
    }
    if limit:
        values["unit"] = "km/h"
    _beside_road(group, street, backwards=sign.backwards, s=sign.s, values=values)


def _beside_road(
    group: Element, street: Street, *, backwards: bool, s: float, values: dict[str, str]
) -> None:
    """Add a signal at the kerb of the lanes that it holds for."""
    side = street.half_width + 0.7
    numbers = sorted((1, street.lanes) if backwards else (-1, -street.lanes))
    element = SubElement(
        group,
        "signal",
        values,
        s=_number(s),
        t=_number(side if backwards else -side),
        zOffset="0.15",
        hOffset="0",
        roll="0",
        pitch="0",
        orientation="-" if backwards else "+",
        country="OpenDRIVE",
        subtype="-1",
    )
    SubElement(element, "validity", fromLane=str(numbers[0]), toLane=str(numbers[1]))


def _crosswalk(group: Element, street: Street, at_end: bool) -> None:
    """Add the crossing beyond a street's end; its u axis crosses the road, v runs along it."""
    element = SubElement(
        group,
        "object",
        type="crosswalk",
        name=f"Crosswalk {street.id} {'end' if at_end else 'start'}",
        id=f"{street.id}{int(at_end)}",
        s=_number(street.path.length if at_end else 0.0),
        t="0",
        zOffset="0",
        hdg=_number(-math.pi / 2),
        pitch="0",
        roll="0",
        orientation="none",
        width=_number(CROSSWALK_WIDTH),
        length=_number(2 * street.half_width),
    )
    outline = SubElement(element, "outline")
    middle = CROSSING_DEPTH / 2 if at_end else -CROSSING_DEPTH / 2
    half_length, half_width = street.half_width, CROSSWALK_WIDTH / 2
    for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)):
        SubElement(
            outline,
            "cornerLocal",
            u=_number(u * half_length),
            v=_number(middle + v * half_width),
            z="0",
        )


def _connection(root: Element, link: Connection) -> None:
    path = link.centre.offset(-LANE_WIDTH / 2)
    element = _road(root, link.road, f"Way {link.road}", path, link.junction)
    ends = SubElement(element, "link")
    for tag, key, at_end in (
        ("predecessor", link.source, link.source_at_end),
        ("successor", link.target, link.target_at_end),
    ):
        SubElement(
            ends,
            tag,
            elementType="road",
            elementId=str(key[0]),
            contactPoint="end" if at_end else "start",
        )
    _plan(element, path, 8.33 if link.turn == "straight" else 5.5)
    lanes = SubElement(element, "lanes")
    SubElement(lanes, "laneOffset", s="0", a="0", b="0", c="0", d="0")
    section = SubElement(lanes, "laneSection", s="0")
    _lane(SubElement(section, "center"), 0, "none", 0, ("none", "white", "none"))
    lane = _lane(SubElement(section, "right"), -1, "driving", LANE_WIDTH, ("none", "white", "none"))
    SubElement(lane, "predecessor", id=str(link.source[1]))
    SubElement(lane, "successor", id=str(link.target[1]))
    SubElement(element, "objects")
    SubElement(element, "signals")


def _controllers(root: Element, signals: Mapping[int, Signal]) -> dict[int, list[int]]:
    """Write one controller for each phase of each junction; return their ids by junction."""
    phases: dict[tuple[int, int], list[int]] = {}
    for signal in signals.values():
        phases.setdefault((signal.junction, signal.phase), []).append(signal.id)
    found: dict[int, list[int]] = {}
    for number, ((junction, phase), ids) in enumerate(sorted(phases.items()), start=1):
        controller = SubElement(
            root, "controller", name=f"ctrl{number}", id=str(number), sequence=str(phase)
        )
        for signal_id in ids:
            SubElement(controller, "control", signalId=str(signal_id), type="0")
        found.setdefault(junction, []).append(number)
    return found


def _junction(
    root: Element,
    junction_id: int,
    connections: Sequence[Connection],
    controllers: Mapping[int, Sequence[int]],
) -> None:
    junction = SubElement(root, "junction", id=str(junction_id), name=f"Junction {junction_id}")
    own = [link for link in connections if link.junction == junction_id]
    for number, link in enumerate(own):
        connection = SubElement(
            junction,
            "connection",
            id=str(number),
            incomingRoad=str(link.source[0]),
            connectingRoad=str(link.road),
            contactPoint="start",
        )
        SubElement(connection, "laneLink", {"from": str(link.source[1]), "to": "-1"})
    for sequence, controller in enumerate(controllers[junction_id]):
        SubElement(junction, "controller", id=str(controller), type="0", sequence=str(sequence))
