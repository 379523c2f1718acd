"""The episode stream: one message a tick with the state of every actor."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from realmaster_live.bridges.carla.wire.streams import HEAD, LENGTH

EPISODE = struct.Struct("<Qdf3iI")
RECORD = struct.Struct("<IB15f54s")
VEHICLE = struct.Struct("<fff???ifB?IB")
WALKER = struct.Struct("<3ff?")
LIGHT = struct.Struct("<32sffffI?B")
ACTIVE = 1
MAP_CHANGED = 1

Triple = tuple[float, float, float]


class ActorRecord(NamedTuple):
    """One actor this tick; metres, degrees, m/s, degrees/s, m/s^2. `extra` depends on its kind."""

    id: int
    location: Triple
    rotation: Triple
    velocity: Triple
    angular_velocity: Triple
    acceleration: Triple
    extra: bytes = b""


class EpisodeState(NamedTuple):
    """The state of the world at one tick; `wall_s` is the host's clock."""

    sensor_type: int
    episode: int
    frame: int
    time_s: float
    wall_s: float
    delta_s: float
    map_changed: bool
    actors: Sequence[ActorRecord]


def pack_episode(state: EpisodeState) -> bytes:
    """Return the message, length included."""
    size = LENGTH.size + HEAD.size + EPISODE.size + RECORD.size * len(state.actors)
    out = bytearray(size)
    LENGTH.pack_into(out, 0, size - LENGTH.size)
    HEAD.pack_into(out, LENGTH.size, state.sensor_type, state.frame, state.time_s, *[0.0] * 6)
    at = LENGTH.size + HEAD.size
    flags = MAP_CHANGED if state.map_changed else 0
    EPISODE.pack_into(out, at, state.episode, state.wall_s, state.delta_s, 0, 0, 0, flags)
    at += EPISODE.size
    for actor in state.actors:
        RECORD.pack_into(
            out,
            at,
            actor.id,
            ACTIVE,
            *actor.location,
            *actor.rotation,
            *actor.velocity,
            *actor.angular_velocity,
            *actor.acceleration,
            actor.extra,
        )
        at += RECORD.size
    return bytes(out)


def vehicle_extra(
    control: Sequence[float], speed_limit_kmh: float, light_state: int, light_actor: int
) -> bytes:
    """Return a vehicle's part; `control` as on the wire, `light_actor` 0 when at no light."""
    return VEHICLE.pack(*control, speed_limit_kmh, light_state, light_actor != 0, light_actor, 0)


def walker_extra(direction: Triple, speed: float, jump: bool) -> bytes:
    """Return a walker's part."""
    return WALKER.pack(*direction, speed, jump)


def light_extra(
    sign: str, times_s: tuple[float, float, float], elapsed_s: float, frozen: bool, state: int
) -> bytes:
    """Return a traffic light's part; `sign` is its OpenDRIVE id, times green, yellow, red."""
    return LIGHT.pack(sign.encode(), *times_s, elapsed_s, 0, frozen, state)
