"""CarlaBridge: frames with labels and poses out of a running CARLA world, which stays its owner's.

bridge -> attacher (finds the ego, opens cameras) -> attachment (joins what they deliver)
       -> tick_reader (makes or awaits each tick, explains one that does not come)
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from realmaster_live.bridges.carla.attacher import Attacher, AttachOptions
from realmaster_live.bridges.carla.attachment import Attachment, Detached
from realmaster_live.bridges.carla.camera import CameraSet, weather_of
from realmaster_live.bridges.carla.leftovers import warn_of_leftovers
from realmaster_live.bridges.carla.objects import RANGE_M
from realmaster_live.bridges.carla.session import CarlaSession
from realmaster_live.bridges.carla.tick_reader import TickReader
from realmaster_live.bridges.frame_join import BridgeClosed, StepCounter
from realmaster_live.errors import ConfigError, ConnectError
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.rig import DEFAULT_LABELS, Mount, Rig, RigCamera, label_names
from realmaster_live.frames.rig_sensors import RigSensor, rig_sensors
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.system.termination import ExitGuard, deferred_signals

log = logging.getLogger(__name__)

MIN_STEP_S, MAX_STEP_S = 1e-3, 1.0  # simulated seconds a tick
MOST_TIMEOUT_S = 1e6  # the client counts milliseconds
WEATHER_EVERY_S = 0.5  # of the simulation clock: asking the server for it is a call of its own


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
        supersample: how many times as wide and high the simulator draws our camera's picture, of
            which each pixel is then a mean: 2 takes the jagged edges from a picture that the
            simulator does not smooth. Labels keep the size that is given.
        mount: where our camera sits on the ego.
        labels: names out of `depth`, `semantic`, `instance`, `flow`; one camera each is spawned.
        adopt: actor id of the user's own rgb camera, to use instead of spawning one; its size,
            field of view and place replace those given here.
        synchronous: True: we own the tick, the world runs at `fixed_delta_s` and each frame is the
            one our tick made. False: somebody else ticks or the world runs freely, nothing is
            changed, and frames lost on the way are counted in `Frame.dropped_before`.
        fixed_delta_s: simulated seconds a tick while we own it, up to 1.
        timeout_s: longest wait for the server and for a frame.
        name: of the camera, as in `Frame.camera`.
        rig: several cameras, to spawn instead of the one that the arguments above describe. Each
            tick then gives one frame a camera, all of one number, in the rig's order.
        objects: whether frames hold the objects around them; costs about a millisecond a tick.
        object_range_m: how far from the first camera objects are reported; the ego never is.
        sensors: what else measures on the ego, out of `imu`, `gnss`, `collision`, `lane_invasion`,
            `lidar`, `semantic_lidar` and `radar`, or as RigSensors with places and attributes;
            each frame holds their readings in `Frame.ego`. Those of the rig come on top.
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
        supersample: int = 1,
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
        sensors: Sequence[str | RigSensor] = (),
    ) -> None:
        if rig is not None and adopt is not None:
            raise ConfigError(
                f"expected a rig or a camera to adopt, got both: leave out adopt={adopt} (--camera)"
            )
        if synchronous and not MIN_STEP_S <= fixed_delta_s <= MAX_STEP_S:
            got = (
                f"{1 / fixed_delta_s:g} ({fixed_delta_s:g} s)"
                if fixed_delta_s > 0
                else f"{fixed_delta_s:g} s"
            )
            raise ConfigError(
                f"expected from {1 / MAX_STEP_S:g} to {1 / MIN_STEP_S:g} frames a second (--fps; "
                f"fixed_delta_s from {MAX_STEP_S:g} down to {MIN_STEP_S:g}), got {got}: 20 is usual"
            )
        if not 0 < timeout_s <= MOST_TIMEOUT_S:
            raise ConfigError(
                f"expected a timeout_s above 0 and up to {MOST_TIMEOUT_S:g} s, got {timeout_s!r}: "
                "10 is usual"
            )
        if rig is not None and not isinstance(rig, Rig):
            raise ConfigError(f"expected a Rig, got {rig!r}: give Rig.load of a file")
        only = RigCamera(
            name=name,
            width=width,
            height=height,
            fov_deg=fov_deg,
            supersample=supersample,
            mount=mount or Mount(),
            labels=label_names(labels),
        )
        self.timeout_s = timeout_s
        options = AttachOptions(
            rig=rig or Rig((only,)),
            ego=ego,
            adopt=adopt,
            fixed_delta_s=fixed_delta_s if synchronous else None,
            object_range_m=object_range_m if objects else None,
            sensors=rig_sensors((*(rig.sensors if rig is not None else ()), *sensors)),
        )
        self._info = SourceInfo(simulator="carla", server=f"{host}:{port}")
        self._opendrive: dict[str, str] = {}
        self._weather_at_s = -math.inf
        self._counts = {"captured": 0, "lost": 0}
        self._session = CarlaSession(host, port, timeout_s)
        self._reader = TickReader(self._session, we_tick=synchronous, timeout_s=timeout_s)
        self._attacher = Attacher(self._session, self._reader, options)
        self._guard = ExitGuard(self.close)
        self._guard.arm()
        try:
            found = self._attacher.attach()
            warn_of_leftovers(self._session)
            self._step_s = options.fixed_delta_s or self._reader.measure_step()
            self._info = replace(found, fps=self.fps)
            self._keep_road_map()
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
    def session(self) -> CarlaSession:
        """The client and its world, for whoever drives the ego."""
        return self._session

    @property
    def fps(self) -> float:
        """Frames a simulated second: of the world's own step, unless we own the tick."""
        return round(1.0 / self._step_s, 3)

    def frames(self) -> Iterator[Frame]:
        """Yield one Frame a tick and camera until `close`; blocks while the next one is due.

        Where the world is reloaded, or the ego or our cameras are destroyed, it attaches again to
        the ego's successor and continues with it after a gap of at least one frame.

        Raises:
            FrameTimeout: a frame does not come; the message names the cause.
            ConnectError: the server is gone or stalls, or the bridge was closed before.
            SensorMismatch: the ego or an adopted camera is gone, and nothing takes its place.
        """
        if self._reader.is_closed:
            raise ConnectError(f"expected an open bridge, got {self!r}: make another")
        steps = StepCounter(every_tick=self._attached.every_tick)
        reattached = False
        try:
            while not self._reader.is_closed:
                try:
                    frame_id, items = self._reader.take()
                except Detached as detached:
                    found = self._attacher.reattach(detached.actor)
                    self._info = replace(found, fps=self.fps)
                    self._keep_road_map()
                    reattached = True
                    continue
                lost = max(steps.missed(frame_id), int(reattached))
                reattached = False
                self._read_weather(items["world"].snapshot.timestamp.elapsed_seconds)
                for frame in self._attached.frames_of(
                    frame_id, items, dropped_before=lost, source=self._info
                ):
                    self._counts["captured"] += 1
                    self._counts["lost"] += lost
                    yield frame
        except BridgeClosed:
            return

    def close(self) -> None:
        """Stop, destroy and restore; may be called twice and from any thread."""
        try:
            with deferred_signals():
                self._reader.close()
                self._session.close()
        finally:
            self._guard.disarm()  # outside: inside, the handlers in place are the deferring ones

    @property
    def info(self) -> SourceInfo:
        """What a recording stores about the world and the cameras, as they were last seen."""
        return replace(self._info, counts=dict(self._counts))

    @property
    def opendrive(self) -> Mapping[str, str]:
        """Town -> OpenDRIVE text of its roads, of the towns that were met; recorders store it."""
        return dict(self._opendrive)

    def _keep_road_map(self) -> None:
        """Ask for the roads of the loaded town; a world without them is driven all the same."""
        try:
            self._opendrive[self._info.town] = self._session.world.get_map().to_opendrive()
        except RuntimeError as error:  # of the client
            log.warning("the roads of %s are not recorded: %s", self._info.town, error)

    def __repr__(self) -> str:
        """Say where it is attached, to what and with which cameras."""
        info = self._info
        cameras = ", ".join(f"{n} {c.width}x{c.height}" for n, c in info.cameras.items())
        state = "closed" if self._reader.is_closed else f"ticked by {info.ticked_by}"
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
        assert self._reader.attachment is not None  # from the end of __init__ on
        return self._reader.attachment
