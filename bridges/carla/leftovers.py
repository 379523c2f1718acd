"""What killed clients leave in a world: cameras, and a synchronous world that nobody ticks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from realmaster_live.bridges.carla.connection import connect, open_world
from realmaster_live.bridges.carla.diagnosis import clean_command
from realmaster_live.bridges.carla.ego import role_of
from realmaster_live.bridges.carla.ownership import is_ours, owner_of
from realmaster_live.bridges.carla.session import CarlaSession

log = logging.getLogger(__name__)

TICK_WAIT_S = 3.0  # a world that does not tick for so long is ticked by nobody
TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class OurSensors:
    """Sensors in a world that bridges of this project spawned, by whether their owners still run.

    Attributes:
        orphans: of processes that have ended, or that an older version did not name.
        owned: of living processes on this host.
        unknown: of processes on other hosts or in other containers.
    """

    orphans: Sequence[Any]
    owned: Sequence[Any]
    unknown: Sequence[Any]


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What `clean` did: a sentence each for what it put right and for what it left alone."""

    done: tuple[str, ...]
    left: tuple[str, ...]


def our_sensors(world: Any) -> OurSensors:
    """Return the sensors in a world that bridges of this project spawned."""
    found: dict[str, list[Any]] = {"dead": [], "alive": [], "unknown": []}
    for actor in world.get_actors().filter("sensor.*"):
        if is_ours(role_of(actor)):
            owner = owner_of(role_of(actor))
            found["dead" if owner is None else owner.liveness()].append(actor)
    return OurSensors(orphans=found["dead"], owned=found["alive"], unknown=found["unknown"])


def warn_of_leftovers(session: CarlaSession) -> None:
    """Log one sentence about the cameras of killed clients, if there are any."""
    orphans = our_sensors(session.world).orphans
    if orphans:
        log.warning(
            "%s of killed clients are still in this world (actors %s): `%s` removes them",
            _count(orphans, "camera"),
            _ids(orphans),
            clean_command(session.host, session.port),
        )


def clean(
    host: str, port: int, *, timeout_s: float = TIMEOUT_S, tick_wait_s: float = TICK_WAIT_S
) -> Cleaning:
    """Let a synchronous world that nobody ticks run freely, and destroy the orphans in it.

    Sensors of living clients stay, and so does the synchronous mode while one has any: it may
    merely be pausing. A world that stands still is ticked once, to see who is in it.

    Args:
        host: of the server.
        port: its RPC port.
        timeout_s: longest wait for an answer.
        tick_wait_s: how long nobody must tick.

    Raises:
        ConnectError: no server answers.
    """
    _, client, _ = connect(host, port, timeout_s)
    world = open_world(client, host, port, timeout_s)
    stands_still = _stands_still(world, tick_wait_s)
    found = our_sensors(world)
    done, left = [], []
    if stands_still and not found.owned and not found.unknown:
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = False, None
        world.apply_settings(settings, timeout_s)
        done.append("the world was synchronous and nobody ticked it: it runs freely again")
    elif stands_still:
        left.append(
            "the world is synchronous and stands still, and is left so: a client that has cameras "
            "in it may be pausing"
        )
    if found.orphans:
        gone = [actor for actor in found.orphans if actor.destroy()]
        done.append(f"{_count(gone, 'camera')} of killed clients destroyed (actors {_ids(gone)})")
    if found.owned:
        owners = sorted({str(owner_of(role_of(actor))) for actor in found.owned})
        left.append(f"{_count(found.owned, 'camera')} of {', '.join(owners)}, which lives: left")
    if found.unknown:
        owners = sorted({str(owner_of(role_of(actor))) for actor in found.unknown})
        left.append(
            f"{_count(found.unknown, 'camera')} of {', '.join(owners)}: left, since only that host "
            "knows whether it lives; run this there, or destroy actors "
            f"{_ids(found.unknown)} yourself"
        )
    return Cleaning(done=tuple(done), left=tuple(left))


def _stands_still(world: Any, wait_s: float) -> bool:
    """Return whether a synchronous world is ticked by nobody; its actors are known afterwards."""
    if not world.get_settings().synchronous_mode:
        world.wait_for_tick(wait_s)
        return False
    try:
        world.wait_for_tick(wait_s)
    except RuntimeError:
        world.tick()
        return True
    return False


def _count(actors: Sequence[Any], noun: str) -> str:
    return f"{len(actors)} {noun}{'' if len(actors) == 1 else 's'}"


def _ids(actors: Sequence[Any]) -> str:
    return ", ".join(str(actor.id) for actor in actors) or "none"
