"""Attaches to the loaded world: finds the ego, takes the tick, opens the cameras; and again."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import Any

from realmaster_live.bridges.carla import diagnosis
from realmaster_live.bridges.carla.attachment import Attachment, Detached
from realmaster_live.bridges.carla.camera import open_cameras, source_info
from realmaster_live.bridges.carla.ego import find_camera, find_ego, name_of, successor_role
from realmaster_live.bridges.carla.ego_sensors import EgoSensors
from realmaster_live.bridges.carla.session import CarlaSession
from realmaster_live.bridges.carla.tick_reader import TickReader
from realmaster_live.errors import BridgeError, SensorMismatch
from realmaster_live.frames.rig import Rig
from realmaster_live.frames.rig_sensors import RigSensor
from realmaster_live.frames.source_info import SourceInfo

log = logging.getLogger(__name__)

OTHER_TICKER_S = 0.3
RETRY_S = 0.2  # from one search for the ego to the next


@dataclass(frozen=True, kw_only=True)
class AttachOptions:
    """What to attach to and with which cameras; `CarlaBridge` documents each.

    `fixed_delta_s` is None where somebody else ticks, `object_range_m` where frames hold none.
    """

    rig: Rig
    ego: str | int | None
    adopt: int | None
    fixed_delta_s: float | None
    object_range_m: float | None
    sensors: tuple[RigSensor, ...] = ()


class Attacher:
    """Makes the attachments of a session, one at a time, and gives them to the reader of ticks."""

    def __init__(self, session: CarlaSession, reader: TickReader, options: AttachOptions) -> None:
        self._session, self._reader, self._options = session, reader, options
        self._ego: Any | None = None  # of the newest attempt; None where a camera stands alone

    def attach(self) -> SourceInfo:
        """Attach to the loaded world for the first time; return what is attached to."""
        try:
            return self._attach(self._options.ego)
        except Detached as detached:  # another client loaded a world or destroyed the ego meanwhile
            return self.reattach(detached.actor)

    def reattach(self, lost: Any | None) -> SourceInfo:
        """Attach to the ego's successor; `lost` is the actor that is gone, None after a reload.

        Raises:
            SensorMismatch: nothing takes its place.
        """
        while True:
            try:
                return self._attach_to_successor(lost)
            except Detached as again:  # the successor went too
                lost = again.actor

    def _attach_to_successor(self, lost: Any | None) -> SourceInfo:
        """Attach to what takes the place of the lost ego or camera.

        After a reload the ego is found by the rule that found the first one; in the same world it
        must have the role of the one that was destroyed.
        """
        ego, options = self._ego, self._options
        wanted = options.ego
        error = None if lost is None else diagnosis.actor_destroyed(ego, lost)
        if lost is None or error is None:
            log.warning("another client loaded a world: attaching again")
        elif lost is ego:
            wanted = successor_role(lost, options.ego)
            if wanted is None or options.adopt is not None:
                raise error
            log.warning("%s was destroyed: waiting for another %r", name_of(lost), wanted)
        else:
            if options.adopt == lost.id:
                raise error
            wanted = None if ego is None else ego.id
            log.warning("%s was destroyed: attaching again", name_of(lost))
        self._reader.detach()
        self._session.detach()
        try:
            return self._attach(wanted, tick_is_ours=lost is not None and self._reader.we_tick)
        except SensorMismatch as mismatch:
            raise (error or mismatch) from mismatch

    def _attach(self, wanted: str | int | None, *, tick_is_ours: bool = False) -> SourceInfo:
        """Attach to the loaded world; see `_open`."""
        self._ego = None
        try:
            return self._open(wanted, tick_is_ours=tick_is_ours)
        except BridgeError:
            self._check_ego()  # nothing can be spawned on one that is gone
            raise
        except RuntimeError as error:  # of the client
            self._reader.check()
            self._check_ego()
            raise self._reader.explain() from error

    def _check_ego(self) -> None:
        """Raise Detached where the server no longer has the ego, which no tick need have shown."""
        session, ego = self._session, self._ego
        if ego is None or not session.is_reachable():
            return
        if session.has(ego, diagnosis.ANSWER_S) is False:
            raise Detached(ego)

    def _open(self, wanted: str | int | None, *, tick_is_ours: bool) -> SourceInfo:
        """Find or spawn the cameras, take the tick if asked to, and wait until all deliver."""
        session, reader, options = self._session, self._reader, self._options
        diagnosis.check_renders(session)
        if tick_is_ours:
            reader.tick()
        elif session.world.get_settings().synchronous_mode:
            # A new client sees no actor of a synchronous world before the next tick.
            self._see_first_tick()
        adopted = None if options.adopt is None else find_camera(session.world, options.adopt)
        ego = self._wait_for_ego(wanted) if adopted is None else adopted.parent
        self._ego = ego
        if options.fixed_delta_s is not None:
            session.change_settings(
                synchronous_mode=True, fixed_delta_seconds=options.fixed_delta_s
            )
        cameras = open_cameras(
            session, options.rig, ego=ego, adopted=adopted, every_tick=reader.we_tick
        )
        step_s = session.world.get_settings().fixed_delta_seconds or None
        sensors = EgoSensors(session, ego, options.sensors, step_s=step_s)
        reader.attachment = Attachment(
            session, ego, cameras, object_range_m=options.object_range_m, sensors=sensors
        )
        info = source_info(session, ego, cameras, we_tick=reader.we_tick)
        reader.pause(0.0)  # closed meanwhile: nobody else closes this attachment
        if reader.we_tick:
            reader.settle()
        reader.await_sensors()
        return replace(info, object_range_m=options.object_range_m, sensors=sensors.infos)

    def _wait_for_ego(self, wanted: str | int | None) -> Any:
        """Return the ego; one that is not there yet is waited for, unless an id was given."""
        reader, world, waiting = self._reader, self._session.world, False
        deadline = time.monotonic() + reader.timeout_s
        while True:
            try:
                return find_ego(world, wanted)
            except SensorMismatch:
                if isinstance(wanted, int) or time.monotonic() > deadline:
                    raise
            if not waiting:
                waiting = True
                name = "any vehicle" if wanted is None else f"the vehicle {wanted!r}"
                log.warning("waiting up to %g s for %s", reader.timeout_s, name)
            reader.pause(RETRY_S)
            if not self._session.is_reachable():
                raise diagnosis.server_gone(self._session)
            if reader.we_tick and world.get_settings().synchronous_mode:
                reader.tick()

    def _see_first_tick(self) -> None:
        """Wait for another client's tick, or make one where the tick is ours."""
        reader, session = self._reader, self._session
        try:
            session.world.wait_for_tick(OTHER_TICKER_S if reader.we_tick else reader.timeout_s)
        except RuntimeError as error:
            if reader.we_tick:
                log.warning(
                    "the world is synchronous and nobody ticks it: this bridge does; if a killed "
                    "client left it like this, `%s` lets it run freely afterwards",
                    diagnosis.clean_command(session.host, session.port),
                )
                reader.tick()
                return
            raise diagnosis.explain(
                session, None, we_tick=False, waited_s=reader.timeout_s
            ) from error
        if reader.we_tick:
            raise BridgeError(
                "expected a world that nobody ticks, got one that another client ticks: use "
                "synchronous=False (--passive) to follow it"
            )
