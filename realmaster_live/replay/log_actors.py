"""The actors of a CARLA recorder log: who is in it, and who plays them in the world of a replay."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from realmaster_live.errors import SensorMismatch

EGO_ROLES = ("hero", "ego_vehicle")
KINDS = ("vehicle.", "walker.")
LISTED = 12  # how many actors a message names
FRAME = re.compile(r"^Frame \d+ at ([\d.eE+-]+) seconds")
CREATE = re.compile(r"^ Create (\d+): (\S+)")
DESTROY = re.compile(r"^ Destroy (\d+)")
ATTRIBUTE = re.compile(r"^  (\S+) = (.*)$")


@dataclass(kw_only=True)
class LoggedActor:
    """A vehicle or walker of a log; times are seconds of the log."""

    id: int
    type_id: str
    created_s: float
    destroyed_s: float | None = None
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def role(self) -> str:
        """The role name, "" where it has none."""
        return self.attributes.get("role_name", "")

    def exists(self, at_s: float) -> bool:
        """Return whether the actor exists at a time of the log."""
        return self.created_s <= at_s and (self.destroyed_s is None or at_s < self.destroyed_s)

    def __str__(self) -> str:
        """Return the actor as messages name it."""
        return f"{self.id} ({self.type_id}, {self.role!r})"


def read_actors(info: str) -> tuple[LoggedActor, ...]:
    """Return the vehicles and walkers in what a server reports of a log, in their order there."""
    actors: list[LoggedActor] = []
    here: dict[int, LoggedActor] = {}
    current: LoggedActor | None = None
    now_s = 0.0
    for line in info.splitlines():
        if found := FRAME.match(line):
            now_s = float(found[1])
        elif found := CREATE.match(line):
            current = LoggedActor(id=int(found[1]), type_id=found[2], created_s=now_s)
            if current.type_id.startswith(KINDS):
                actors.append(current)
                here[current.id] = current
        elif found := DESTROY.match(line):
            if (gone := here.pop(int(found[1]), None)) is not None:
                gone.destroyed_s = now_s
        elif current is not None and (found := ATTRIBUTE.match(line)):
            current.attributes[found[1]] = found[2].strip()
    return tuple(actors)


def logged_ego(actors: Sequence[LoggedActor], ego: str | int | None, at_s: float) -> LoggedActor:
    """Return the log's actor of this role name or recorded id; the likeliest vehicle for None.

    Raises:
        SensorMismatch: nobody in the log has it at this time.
    """
    here = [actor for actor in actors if actor.exists(at_s)]
    vehicles = [actor for actor in here if actor.type_id.startswith("vehicle.")]
    if isinstance(ego, int):
        found = [actor for actor in here if actor.id == ego]
    elif ego is not None:
        found = [actor for actor in here if actor.role == ego]
    else:
        found = [actor for actor in here if actor.role in EGO_ROLES] or vehicles
    if not found:
        wanted = "a vehicle" if ego is None else f"the vehicle {ego!r}"
        listed = ", ".join(map(str, here[:LISTED])) or "nobody"
        more = f" and {len(here) - LISTED} more" if len(here) > LISTED else ""
        raise SensorMismatch(
            f"expected {wanted} in the log at {at_s:g} s, got {listed}{more}: name one of these "
            "behind ?ego=, or another start"
        )
    return found[0]


def find_replayed(
    wanted: LoggedActor,
    logged: Sequence[LoggedActor],
    *,
    before: Mapping[int, str],
    actors: Sequence[Any],
) -> Any | None:
    """Return the world's actor that plays one of the log; None where there is none (yet).

    The replayer gives an actor its recorded id, moves the one that has this id and type already,
    and takes a new id where another type has it.

    Args:
        wanted: the log's actor.
        logged: all actors of the log that are there at the same time.
        before: id -> type of the actors that were in the world before the replay.
        actors: those that are in it now.
    """
    by_id = {actor.id: actor for actor in actors}

    def has_recorded_id(one: LoggedActor) -> bool:
        return one.id in by_id and by_id[one.id].type_id == one.type_id

    if has_recorded_id(wanted):
        return by_id[wanted.id]
    alike = [
        one
        for one in logged
        if (one.type_id, one.role) == (wanted.type_id, wanted.role) and not has_recorded_id(one)
    ]
    recorded = {one.id for one in logged if has_recorded_id(one)}
    new = [
        actor
        for actor in sorted(actors, key=lambda actor: int(actor.id))
        if actor.id not in before
        and actor.id not in recorded
        and actor.type_id == wanted.type_id
        and actor.attributes.get("role_name", "") == wanted.role
    ]
    place = alike.index(wanted)
    return new[place] if place < len(new) else None
