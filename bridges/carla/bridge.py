"""CarlaBridge: frames with labels and poses out of a running CARLA world, which stays its owner's.

Either we own the tick, or we are passive and somebody else does, or the world runs freely.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, TypeVar

from realmaster_live.bridges.carla import diagnosis
from realmaster_live.bridges.carla.attachment import Attachment, Detached
from realmaster_live.bridges.carla.camera import (
    CameraSet,
    open_cameras,
    source_info,
    weather_of,
)
from realmaster_live.bridges.carla.ego import find_camera, find_ego, name_of, successor_role
from realmaster_live.bridges.carla.leftovers import warn_of_leftovers
from realmaster_live.bridges.carla.objects import RANGE_M
from realmaster_live.bridges.carla.session import CarlaSession
from realmaster_live.bridges.carla.ticker import LOOK_S, Ticker
from realmaster_live.bridges.frame_join import BridgeClosed, StepCounter
from realmaster_live.errors import BridgeError, ConfigError, FrameTimeout, SensorMismatch
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.rig import DEFAULT_LABELS, Mount, Rig, RigCamera
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.system.termination import ExitGuard, deferred_signals

log = logging.getLogger(__name__)

SETTLE_WAIT_S = 0.05  # a new sensor's stream is connected a moment after listen() returns
OTHER_TICKER_S = 0.3
WEATHER_EVERY_S = 0.5  # of the simulation clock: asking the server for it is a call of its own
RETRY_S = 0.2  # from one look for the ego to the next

Taken = TypeVar("Taken")


class CarlaBridge:
    """A Source of Frames from a running CARLA server.

    Attaches when made. Never loads a map; changes settings only with `synchronous`; `close`, and
    every other way out that Python can see, destroys what was spawned and restores what was
    changed. Use it as a context manager.

    Args:
        host: where the server runs. port: its RPC port.
        ego: role name or actor id of the vehicle or walker; None takes role `hero` or
            `ego_vehicle`, else the first vehicle. One that is not there yet is waited for up to
            `timeout_s`, unless it was given by id.
        width: picture width in pixels. height: picture height. fov_deg: horizontal field of view.
        mount: where our camera sits on the ego.
        labels: names out of `depth`, `semantic`, `instance`, `flow`; one camera each is spawned.
        adopt: actor id of the user's own rgb camera, to use instead of spawning one; its size,
            field of view and place replace those given here.
        synchronous: True: we own the tick, the world runs at `fixed_delta_s` and each frame is the
            one our tick made. False: somebody else ticks or the world runs freely, nothing is
            changed, and frames lost on the way are counted in `Frame.dropped_before`.
        fixed_delta_s: simulated seconds a tick while we own it.
        timeout_s: longest wait for the server and for a frame.
        name: of the camera, as in `Frame.camera`.
        rig: several cameras, to spawn instead of the one that the arguments above describe. Each
            tick then gives one frame a camera, all of one number, in the rig's order.
        objects: whether frames hold the objects around them; costs about a millisecond a tick.
        object_range_m: how far from the first camera objects are reported; the ego never is.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 2000,
        *,
        ego: str | int | None = None,
        width: int = 512,
        height: int = 288,
        fov_deg: float = 80.0,
        mount: Mount | None = None,
        labels: Sequence[str] = DEFAULT_LABELS,
        adopt: int | None = None,
        synchronous: bool = True,
        fixed_delta_s: float = 0.05,
        timeout_s: float = 10.0,
        name: str = "front",
        rig: Rig | None = None,
        objects: bool = True,
        object_range_m: float = RANGE_M,
    ) -> None:
        if rig is not None and adopt is not None:
            raise ConfigError(
                f"expected a rig or a camera to adopt, got both: leave out adopt={adopt}"
            )
        only = RigCamera(
            name=name,
            width=width,
            height=height,
            fov_deg=fov_deg,
            mount=mount or Mount(),
            labels=tuple(labels),
        )
        self.timeout_s = timeout_s
        self._rig = rig or Rig((only,))
        self._wanted_ego, self._adopt = ego, adopt
        self._object_range_m = object_range_m if objects else None
        self._synchronous, self._fixed_delta_s = synchronous, fixed_delta_s
        self._closed = threading.Event()
        self._ticker = Ticker()
        self._attachment: Attachment | None = None
        self._last_tick: int | None = None
        self._info = SourceInfo(simulator="carla", server=f"{host}:{port}")
        self._weather_at_s = -math.inf
        self._counts = {"captured": 0, "lost": 0}
        self._session = CarlaSession(host, port, timeout_s)
        self._guard = ExitGuard(self.close)
        self._guard.arm()
        try:
            try:
                self._attach(ego)
            except Detached as lost:  # somebody loaded a world under it
                self._attach_again(lost.actor)
            warn_of_leftovers(self._session)
            self._step_s = self._measure_step()
            self._info = replace(self._info, fps=self.fps)
        except BaseException:
            self.close()
            raise

    @property
    def cameras(self) -> Mapping[str, CameraSet]:
        """The sensors in use, by the cameras' names."""
        return self._attached.cameras

    @property
    def ego(self) -> Any | None:
        """The actor that carries the cameras; None where an adopted one stands alone."""
        return self._attached.ego

    @property
    def fps(self) -> float:
        """Frames a simulated second: of the world's own step, unless we own the tick."""
        return round(1.0 / self._step_s, 3)

    def frames(self) -> Iterator[Frame]:
        """Yield one Frame a tick and camera until `close`; blocks while the next one is due.

        Where the world is reloaded, or the ego or our cameras are destroyed, it attaches again to
        the ego's successor and goes on there with a gap of at least one frame.

        Raises:
            FrameTimeout: a frame does not come; the message names the cause.
            ConnectError: the server is gone or stalls.
            SensorMismatch: the ego or an adopted camera is gone, and nothing takes its place.
        """
        steps = StepCounter(every_tick=self._attached.every_tick)
        attached_anew = False
        while not self._closed.is_set():
            try:
                frame_id, items = self._take()
                lost = max(steps.missed(frame_id), int(attached_anew))
                attached_anew = False
                self._read_weather(items["world"].snapshot.timestamp.elapsed_seconds)
                for frame in self._attached.frames_of(
                    frame_id, items, dropped_before=lost, source=self._info
                ):
                    self._counts["captured"] += 1
                    self._counts["lost"] += lost
                    yield frame
            except BridgeClosed:
                return
            except Detached as detached:
                lost_actor = detached.actor
            else:
                continue
            try:
                self._attach_again(lost_actor)
            except BridgeClosed:
                return
            attached_anew = True

    def close(self) -> None:
        """Stop, destroy and restore; may be called twice and from any thread."""
        try:
            with deferred_signals():
                self._closed.set()
                if self._attachment is not None:
                    self._attachment.join.close()
                # A tick under way ends within the client's own timeout.
                self._ticker.close(
                    server_is_up=self._session.is_reachable(), timeout_s=self.timeout_s + 1.0
                )
                self._session.close()
        finally:
            self._guard.disarm()  # outside: inside, the handlers in place are the deferring ones

    @property
    def info(self) -> SourceInfo:
        """What a recording remembers of the world and the cameras, as they were last seen."""
        return replace(self._info, counts=dict(self._counts))

    def __repr__(self) -> str:
        """Say where it is attached, to what and with which cameras."""
        info = self._info
        cameras = ", ".join(f"{n} {c.width}x{c.height}" for n, c in info.cameras.items())
        state = "closed" if self._closed.is_set() else f"ticked by {info.ticked_by}"
        return f"CarlaBridge({info.server}, {info.town}, {state}, cameras: {cameras or 'none'})"

    def _read_weather(self, now_s: float) -> None:
        """Ask for the weather twice a simulated second; the info stays one object while it does."""
        if 0.0 <= now_s - self._weather_at_s < WEATHER_EVERY_S:
            return
        self._weather_at_s = now_s
        try:
            weather = weather_of(self._session.world)
        except RuntimeError as error:  # the next frame says what is wrong with the server
            log.debug("no weather: %s", error)
            return
        if weather != self._info.weather:
            self._info = replace(self._info, weather=weather)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def _attached(self) -> Attachment:
        assert self._attachment is not None  # from the end of __init__ on
        return self._attachment

    def _attach(self, wanted: str | int | None, *, tick_is_ours: bool = False) -> None:
        """Attach to the loaded world; see `_attach_cameras`."""
        try:
            self._attach_cameras(wanted, tick_is_ours=tick_is_ours)
        except RuntimeError as error:  # of the client
            self._look()
            raise self._explain() from error

    def _attach_cameras(self, wanted: str | int | None, *, tick_is_ours: bool) -> None:
        """Find or spawn the cameras, take the tick if asked to, and wait until all deliver."""
        session = self._session
        diagnosis.check_renders(session)
        if tick_is_ours:
            self._tick()
        elif session.world.get_settings().synchronous_mode:
            # A new client sees no actor of a synchronous world before the next tick.
            self._see_first_tick()
        adopted = None if self._adopt is None else find_camera(session.world, self._adopt)
        ego = self._wait_for_ego(wanted) if adopted is None else adopted.parent
        if self._synchronous:
            session.change_settings(synchronous_mode=True, fixed_delta_seconds=self._fixed_delta_s)
        cameras = open_cameras(
            session, self._rig, ego=ego, adopted=adopted, every_tick=self._synchronous
        )
        self._attachment = Attachment(session, ego, cameras, object_range_m=self._object_range_m)
        found = source_info(session, ego, self.cameras, we_tick=self._synchronous)
        self._info = replace(
            found, fps=self._info.fps or found.fps, object_range_m=self._object_range_m
        )
        if self._closed.is_set():
            raise BridgeClosed
        if self._synchronous:
            self._settle()

    def _attach_again(self, lost: Any | None) -> None:
        """Attach to the ego's successor; `lost` is the actor that is gone, None after a reload."""
        while True:
            try:
                return self._attach_to_successor(lost)
            except Detached as again:  # the successor went too
                lost = again.actor

    def _attach_to_successor(self, lost: Any | None) -> None:
        """Attach to what takes the place of the lost ego or camera.

        After a reload the ego is found by the rule that found the first one; in the same world it
        must have the role of the one that was destroyed.
        """
        attached, wanted = self._attachment, self._wanted_ego
        ego = None if attached is None else attached.ego
        error = None if lost is None else diagnosis.actor_destroyed(attached, lost)
        if lost is None or error is None:
            log.warning("another client loaded a world: attaching again")
        elif lost is ego:
            wanted = successor_role(lost, self._wanted_ego)
            if wanted is None or self._adopt is not None:
                raise error
            log.warning("%s was destroyed: waiting for another %r", name_of(lost), wanted)
        else:
            if self._adopt == lost.id:
                raise error
            wanted = None if ego is None else ego.id
            log.warning("%s was destroyed: attaching again", name_of(lost))
        if attached is not None:
            attached.abandon()
        self._session.detach()
        self._last_tick = None
        try:
            self._attach(wanted, tick_is_ours=lost is not None and self._synchronous)
        except SensorMismatch as mismatch:
            raise (error or mismatch) from mismatch

    def _wait_for_ego(self, wanted: str | int | None) -> Any:
        """Return the ego; one that is not there yet is waited for, unless an id was given."""
        world, waiting = self._session.world, False
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                return find_ego(world, wanted)
            except SensorMismatch:
                if isinstance(wanted, int) or time.monotonic() > deadline:
                    raise
            if not waiting:
                waiting = True
                name = "any vehicle" if wanted is None else f"the vehicle {wanted!r}"
                log.warning("waiting up to %g s for %s", self.timeout_s, name)
            if self._closed.wait(RETRY_S):
                raise BridgeClosed
            if not self._session.is_reachable():
                raise diagnosis.server_gone(self._session)
            if self._synchronous and world.get_settings().synchronous_mode:
                self._tick()

    def _see_first_tick(self) -> None:
        """Wait for a tick of somebody else's, or make one where the tick is ours."""
        world = self._session.world
        wait_s = OTHER_TICKER_S if self._synchronous else self.timeout_s
        try:
            world.wait_for_tick(wait_s)
        except RuntimeError as error:
            if self._synchronous:
                log.warning(
                    "the world is synchronous and nobody ticks it: this bridge does; if a killed "
                    "client left it like this, `%s` lets it run freely afterwards",
                    diagnosis.clean_command(self._session.host, self._session.port),
                )
                self._tick()
                return
            raise diagnosis.explain(
                self._session, None, we_tick=False, waited_s=self.timeout_s
            ) from error
        if self._synchronous:
            raise BridgeError(
                "expected a world that nobody ticks, got one that another client ticks: use "
                "synchronous=False to ride along"
            )

    def _settle(self) -> None:
        """Tick until every camera has delivered one and the same frame."""
        deadline = time.monotonic() + self.timeout_s
        wait_s = SETTLE_WAIT_S
        while True:
            self._tick()
            try:
                self._attached.join.take_next(wait_s)
            except FrameTimeout as error:
                self._look()
                if time.monotonic() > deadline:
                    raise self._explain() from error
                wait_s = min(2.0 * wait_s, self.timeout_s)
            else:
                self._attached.has_delivered = True
                return

    def _measure_step(self) -> float:
        """Return the simulated seconds from one frame to the next."""
        if self._synchronous:
            return self._fixed_delta_s
        fixed_s = self._session.world.get_settings().fixed_delta_seconds
        deadline = time.monotonic() + self.timeout_s
        while (step_s := self._attached.step_s(fixed_s)) is None:
            time.sleep(SETTLE_WAIT_S)
            if not self._session.is_reachable() or time.monotonic() > deadline:
                raise self._explain()
        return step_s

    def _tick(self) -> int:
        """Advance the world and return the number of the frame that this makes."""
        if self._closed.is_set():
            raise BridgeClosed
        try:
            tick_id = self._ticker.tick(self._session.world, self.timeout_s, self._look)
        except RuntimeError as error:
            self._look()
            raise self._explain() from error
        if self._last_tick is not None and tick_id != self._last_tick + 1:
            self._look()
            if not self._session.world.get_settings().synchronous_mode:
                raise self._explain()
            log.warning("frame %d follows %d: another client ticks too", tick_id, self._last_tick)
        self._last_tick = tick_id
        return tick_id

    def _take(self) -> tuple[int, Mapping[str, Any]]:
        """Return the next frame's number and images."""
        join = self._attached.join
        if self._synchronous:
            tick_id = self._tick()
            items: Mapping[str, Any] = self._wait(lambda wait_s: join.take(tick_id, wait_s))
        else:
            tick_id, items = self._wait(join.take_next)
        self._attached.has_delivered = True
        if not self._attached.ego_is_in(items["world"]):
            raise Detached(self._attached.ego)
        return tick_id, items

    def _wait(self, take: Callable[[float], Taken]) -> Taken:
        """Return what `take` gives; ends early where a look finds that it will never come."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            left = deadline - time.monotonic()
            try:
                return take(max(0.0, min(LOOK_S, left)))
            except FrameTimeout as error:
                self._look()
                if left <= 0.0:
                    raise self._explain() from error

    def _look(self) -> None:
        """Raise what ends a wait at once, of what can be read without asking the server."""
        session = self._session
        if self._closed.is_set():
            raise BridgeClosed
        if not session.is_reachable():
            raise diagnosis.server_gone(session)
        if session.was_reloaded():
            raise Detached(None)
        lost = None if self._attachment is None else self._attachment.lost_actor()
        if lost is not None:
            raise Detached(lost)

    def _explain(self) -> BridgeError:
        """Return the error for a wait that ended without a frame."""
        attached = self._attachment
        return diagnosis.explain(
            self._session,
            attached,
            we_tick=self._synchronous,
            waited_s=self.timeout_s,
            silent=() if attached is None else attached.join.silent(),
        )
