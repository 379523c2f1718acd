"""Finding the actor that carries the cameras, and the user's own camera."""

from __future__ import annotations

from typing import Any

from realmaster_live.errors import SensorMismatch

PICTURE_SENSOR = "sensor.camera.rgb"
EGO_ROLES = ("hero", "ego_vehicle")
LISTED = 12  # how many actors of a kind a message names


def find_ego(world: Any, ego: str | int | None) -> Any:
    """Return the vehicle or walker of this role name or actor id; the likeliest vehicle for None.

    Where several fit, vehicles come before walkers, and older actors before younger ones.
    """
    actors = world.get_actors()
    vehicles, walkers = (
        sorted(actors.filter(kind), key=lambda actor: actor.id)
        for kind in ("vehicle.*", "walker.pedestrian.*")
    )
    if isinstance(ego, int):
        found = [actor for actor in (*vehicles, *walkers) if actor.id == ego]
    elif ego is not None:
        found = [actor for actor in (*vehicles, *walkers) if role_of(actor) == ego]
    else:
        found = [actor for actor in (*vehicles, *walkers) if role_of(actor) in EGO_ROLES]
        found = found or vehicles
    if not found:
        wanted = "any vehicle" if ego is None else f"the vehicle {ego!r}"
        raise SensorMismatch(
            f"expected {wanted}, got {inventory(actors)}: give one of these as ego (--ego), or "
            "spawn it first"
        )
    return found[0]


def find_camera(world: Any, camera_id: int) -> Any:
    """Return the user's own rgb camera of this actor id."""
    actors = world.get_actors()
    camera = actors.find(camera_id)
    if camera is None or camera.type_id != PICTURE_SENSOR:
        got = "nothing of that id" if camera is None else f"a {camera.type_id}"
        raise SensorMismatch(
            f"expected an rgb camera with actor id {camera_id}, got {got} among "
            f"{inventory(actors)}: give one of the cameras as adopt (--camera)"
        )
    return camera


def successor_role(ego: Any, wanted: str | int | None) -> str | None:
    """Return the role name to look for after the ego was destroyed.

    None where nobody can take its place: it was asked for by id, or was any vehicle.
    """
    if isinstance(wanted, int):
        return None
    role = role_of(ego)
    return role if wanted is not None or role in EGO_ROLES else None


def role_of(actor: Any) -> str:
    """Return an actor's role name, "" where it has none."""
    return str(actor.attributes.get("role_name", ""))


def name_of(actor: Any) -> str:
    """Return an actor as messages name it."""
    return f"{actor.id} ({actor.type_id}, {role_of(actor)!r})"


def inventory(actors: Any) -> str:
    """Return which vehicles, walkers and cameras there are, by id and role."""

    def listed(pattern: str) -> str:
        found = sorted(actors.filter(pattern), key=lambda actor: actor.id)
        named = [name_of(actor) for actor in found]
        more = [f"and {len(named) - LISTED} more"] if len(named) > LISTED else []
        return ", ".join(named[:LISTED] + more) or "none"

    kinds: dict[str, str] = {"vehicles": "vehicle.*", "cameras": "sensor.camera.*"}
    if len(actors.filter("walker.pedestrian.*")):
        kinds["walkers"] = "walker.pedestrian.*"
    return "; ".join(f"{name}: {listed(pattern)}" for name, pattern in kinds.items())
