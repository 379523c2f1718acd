"""An episode: one town running, its clock, its streams and its pictures. On the event loop."""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from realmaster_live.bridges.carla.wire.layouts import Layout, layout_of
from realmaster_live.bridges.carla.wire.streams import Head, Token, message
from realmaster_live.errors import ActorError
from realmaster_live.minitown.server.cameras import Camera, Job, check_room, draw, make_camera, plan
from realmaster_live.minitown.server.config import ServerConfig
from realmaster_live.minitown.server.log_recorder import LogRecorder
from realmaster_live.minitown.server.log_replayer import ReplayOptions
from realmaster_live.minitown.server.loop import Loop
from realmaster_live.minitown.server.readings import Readings, check_sensor
from realmaster_live.minitown.server.scan_jobs import ScanJob, Scanners, cast
from realmaster_live.minitown.server.scanners import WIRE_NAMES
from realmaster_live.minitown.server.state import LoggedCamera, StateLog
from realmaster_live.minitown.server.streams import Message, StreamHub
from realmaster_live.minitown.server.towns import (
    OPENDRIVE_MAP,
    MapChoice,
    Town,
    load_in_thread,
    map_of,
)
from realmaster_live.minitown.server.wire_view import actor_array, episode_message
from realmaster_live.minitown.traffic.actors import Actor
from realmaster_live.minitown.traffic.population import populate
from realmaster_live.minitown.traffic.settings import Settings
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import Pose

log = logging.getLogger(__name__)

STATE_STREAM = 1
CAMERA = "sensor.camera."
HERO = "hero"
EGO_ROLES = (HERO, "ego_vehicle")  # role names of the vehicle that carries the cameras


class TrafficManager(NamedTuple):
    """A client's Traffic Manager: the address it gave, its connection's number and its host."""

    address: str
    connection: int
    host: str


class Episode:
    """One running town and its streams; `tick` advances it."""

    def __init__(self, config: ServerConfig, town: Town, hub: StreamHub) -> None:
        self.config, self.hub = config, hub
        self.layout: Layout = layout_of(config.version)
        self._readings = Readings(self.layout, self.actor_array)
        self.id = 0  # until the world begins
        self.stream_port = 0
        self.sent_map: MapChoice | None = None  # of the OpenDRIVE that a client sent
        self.mode_changed = asyncio.Event()
        self.traffic_managers: dict[int, TrafficManager] = {}  # by their ports
        self.called_s = 0.0  # when the last call came, by the loop's clock
        self.physics: dict[int, list[Any]] = {}
        self._streams: dict[int, int] = {}
        self._cameras: dict[int, Camera] = {}
        self._scanners = Scanners(self.layout)
        self._due: dict[int, float] = {}
        self._next_stream = STATE_STREAM + 1
        self._drawing: asyncio.Task[None] | None = None
        self._map_changed = False
        self._lock = asyncio.Lock()
        self._loading = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "minitown-render")
        self._log = StateLog(config.state_log) if config.state_log else None
        self.recorder: LogRecorder | None = None
        self.replay_options = ReplayOptions()
        hub.open(STATE_STREAM)
        self.town, self.world = town, self._begin(town)

    def _begin(self, town: Town, first_id: int = 1) -> World:
        extents = None
        if town.scene is not None:
            extents = {name: model.extent for name, model in town.scene.models.items()}
        self.id = secrets.randbits(63)  # as CARLA draws it: no two servers' worlds are the same
        world = World(
            town.network,
            seed=self.config.seed,
            extents=extents,
            things=town.things,
            first_id=first_id,
        )
        vehicles, _ = populate(world, self.config.vehicles, self.config.walkers, self.config.seed)
        four = [key for key in vehicles if world.actors[key].vehicle_wheels() == 4]
        self._hero = four[0] if four else 0
        if self._hero:
            world.actors[self._hero].attributes["role_name"] = HERO
        self._loop = Loop(world, self.config.loop)
        return world

    @property
    def _mover(self) -> World | Loop:
        """What moves the world on, and says how it looks."""
        return self._loop if self.config.loop and self._cameras else self.world

    @property
    def sync(self) -> bool:
        """Whether the world waits for a client's tick."""
        return self.world.settings.synchronous_mode

    @property
    def delta_s(self) -> float:
        """Seconds of simulation in one tick."""
        return self.world.settings.fixed_delta_seconds or 1.0 / self.config.fps

    def token(self, stream: int) -> bytes:
        """Return the 24 bytes that tell a client where a stream is."""
        return Token(stream, self.stream_port).pack()

    def stream_of(self, actor_id: int) -> int:
        """Return the stream of a sensor, 0 when it has none."""
        return self._streams.get(actor_id, 0)

    def actor_array(self, actor: Actor) -> list[Any]:
        """Return the wire's Actor."""
        stream = self.stream_of(actor.id)
        return actor_array(self.layout, self.world, actor, self.token(stream) if stream else b"")

    def spawn(
        self, type_id: str, pose: Pose, attributes: dict[str, str], parent: int, attachment: int
    ) -> Actor:
        """Make an actor, and its stream when it is a sensor."""
        world = self.world
        actor = world.spawn(
            type_id, pose, attributes=attributes, parent=parent, attachment=attachment
        )
        hero = world.actors.get(self._hero)
        if hero is not None and actor.attributes.get("role_name") in EGO_ROLES:
            hero.attributes["role_name"] = "autopilot"  # the client brings an ego of its own
        if not actor.streams:
            return actor
        stream = self._next_stream
        try:
            check_sensor(actor, world.actors.values())
            if type_id.startswith(CAMERA):
                camera = make_camera(actor, stream, world.camera_view(actor.id))
                check_room(camera, self._cameras.values())
                self._cameras[actor.id] = camera
            elif type_id in WIRE_NAMES:
                self._scanners.add(actor, stream, is_drawn=self.town.scene is not None)
                self._thread.submit(self._try_caster, self.town)
        except ActorError:
            world.destroy(actor.id)
            raise
        self._next_stream += 1
        self._streams[actor.id] = stream
        self.hub.open(stream)
        return actor

    def destroy(self, actor_id: int) -> bool:
        """Remove an actor with what is mounted on it, and their streams."""
        if not self.world.destroy(actor_id):
            return False
        self._forget_gone()
        self.physics.pop(actor_id, None)
        return True

    def _forget_gone(self) -> None:
        """Close the streams of destroyed actors."""
        for gone in [one for one in self._streams if one not in self.world.actors]:
            self.hub.close(self._streams.pop(gone))
            self._cameras.pop(gone, None)
            self._scanners.forget(gone)
            self._readings.forget(gone)
            self._due.pop(gone, None)

    def stop_recorder(self) -> None:
        """Finish the recorder log, if one is being written."""
        if self.recorder is not None:
            self.recorder.close()
            self.recorder = None

    def stop_replayer(self, *, keep_actors: bool) -> None:
        """End the replay of a log; what it made stays or goes, with all that is mounted on it."""
        replayer, self.world.replayer = self.world.replayer, None
        if replayer is not None:
            replayer.stop(keep_actors=keep_actors)
            self._forget_gone()

    def set_settings(self, settings: Settings) -> int:
        """Take over settings; returns the frame that they hold from."""
        was, self.world.settings = self.sync, settings
        if was != self.sync:
            self.mode_changed.set()
        return self.world.frame

    async def tick(self) -> int:
        """Move the world on, send its state, and see to its pictures; returns the frame."""
        async with self._lock:
            if self.sync:
                await self.hub.arrivals()
                await self.hub.drained()
            world, delta = self.world, self.delta_s
            frame = self._mover.step(delta)
            self._record(world, delta)
            if world.replayer is not None:
                self._forget_gone()
            state = episode_message(self.layout, world, self.id, delta, self._map_changed)
            self._map_changed = False
            self.hub.publish(STATE_STREAM, Message(state), drop_if_busy=False)
            self._sense()
            job = self._shots()
            scene = self._mover.scene_state if job is None else lambda: job.state
            scans = self._scanners.plan(world, scene, delta, self._is_wanted)
            await self._finish_drawing()
            if scans is not None or (job is not None and job.groups):
                self._drawing = asyncio.create_task(self._draw(job, scans))
            return frame

    async def _finish_drawing(self) -> None:
        """Wait for the pictures of the tick before; one that failed fails only once."""
        drawing, self._drawing = self._drawing, None
        if drawing is not None:
            await drawing

    def _record(self, world: World, delta_s: float) -> None:
        """Write the tick to the recorder log; a log that cannot be written is closed."""
        if self.recorder is None:
            return
        try:
            self.recorder.write(world, delta_s)
        except (OSError, struct.error) as error:
            log.error("the recorder log %s ends here: %s", self.recorder.path, error)
            recorder, self.recorder = self.recorder, None
            recorder.abandon()

    async def load(self, name: str, reset_settings: bool) -> None:
        """Start another town, or with an empty name this one again.

        Raises:
            ActorError: there is no town of the name.
        """
        sent = self.sent_map if name.endswith(OPENDRIVE_MAP) else None
        chosen = sent or map_of(name or self.town.name)
        async with self._loading:
            town = self.town
            if chosen.seed != town.network.seed:
                town = await load_in_thread(chosen.name, self.config)
            await self._begin_anew(replace(town, name=chosen.name), reset_settings)

    async def _begin_anew(self, town: Town, reset_settings: bool) -> None:
        """Replace the world by a new one."""
        async with self._lock:
            await self._finish_drawing()
            old = self.world
            self.stop_recorder()
            for actor_id in list(self._streams):
                self.destroy(actor_id)
            self.town, self.world = town, self._begin(town, first_id=old.next_id)
            self.world.frame = old.frame
            if not reset_settings:
                self.world.settings = old.settings
            self.physics.clear()
            self._map_changed = True
            self.mode_changed.set()

    async def run_free(self) -> None:
        """Tick at the set rate forever, except while a client ticks."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.mode_changed.clear()
            if self.sync:
                await self.mode_changed.wait()
                due = loop.time()
                continue
            try:
                await self.tick()
            except Exception:  # what one client's actor does must not end the others' server
                log.exception("a tick failed")
            due = max(due + 1.0 / self.config.fps, loop.time() - 0.5)
            await asyncio.sleep(max(0.0, due - loop.time()))

    def close(self) -> None:
        """Stop drawing and close the logs."""
        self.stop_recorder()
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._log is not None:
            self._log.close()

    async def warm_up(self) -> None:
        """Draw and cast a ray once, so that no client waits for the kernels to be compiled."""
        camera = self.world.spectator
        view = self.world.camera_view(camera.id)
        loop = asyncio.get_running_loop()
        state = self.world.scene_state()
        await loop.run_in_executor(self._thread, lambda: self.town.renderer.render(state, view))
        await loop.run_in_executor(self._thread, self._try_caster, self.town)

    def _is_due(self, actor: Actor) -> bool:
        """Return whether a sensor's own tick has come; a listened one counts on."""
        period = actor.number("sensor_tick", 0.0)
        if self.world.time_s + 1e-9 < self._due.get(actor.id, 0.0):
            return False
        self._due[actor.id] = self.world.time_s + period
        return True

    def _sense(self) -> None:
        """Send what listened sensors without pixels have to say this tick."""
        world = self.world
        for actor_id, stream in self._streams.items():
            sensor = world.actors[actor_id]
            if actor_id in self._cameras or actor_id in self._scanners:
                continue
            if not self.hub.listened(stream):
                continue
            kind = sensor.type_id.rsplit(".", 1)[1]
            if kind == "collision":
                bodies = self._readings.collisions(sensor, world)
            else:
                bodies = self._readings.of(sensor, world, self.town) if self._is_due(sensor) else []
            for body in bodies:
                head = Head(self.layout.sensor_ids[kind], world.frame, world.time_s, sensor.pose)
                self.hub.publish(stream, Message(message(head, body)), drop_if_busy=False)

    def _shots(self) -> Job | None:
        """Return this tick's images to draw, and log what is drawn."""
        world = self.world
        looking = [
            (camera, world.camera_view(camera.actor.id))
            for camera in self._cameras.values()
            if self.hub.listened(camera.stream) and self._is_due(camera.actor)
        ]
        if world.settings.no_rendering_mode:
            looking = []
        if not looking and self._log is None:
            return None
        state = self._mover.scene_state()
        if self._log is not None:
            self._log.append(
                state,
                [
                    LoggedCamera(actor_id=camera.actor.id, type_id=camera.actor.type_id, view=view)
                    for camera, view in looking
                ],
            )
        return plan(looking, state, world.time_s, self.layout)

    def _is_wanted(self, sensor: Actor, stream: int) -> bool:
        """Return whether somebody listens to a sensor and its own tick has come."""
        return self.hub.listened(stream) and self._is_due(sensor)

    @staticmethod
    def _try_caster(town: Town) -> None:
        """Build a town's trees of triangles and cast a ray, on the thread that will cast them."""
        try:
            if town.caster is not None:
                town.caster.cast(np.zeros(3), np.array([[0.0, 0.0, -1.0]]), 1.0)
        except Exception:
            log.exception("the town's rays cannot be cast")

    async def _draw(self, job: Job | None, scans: ScanJob | None) -> None:
        loop = asyncio.get_running_loop()
        shots = [shot for group in job.groups for shot in group] if job is not None else []
        busy = not self.sync
        try:
            if scans is not None:
                town = self.town
                found = await loop.run_in_executor(self._thread, lambda: cast(scans, town.caster))
                for stream, scanned in found:
                    self.hub.publish(stream, scanned, drop_if_busy=busy)
            if job is not None and job.groups:
                await loop.run_in_executor(self._thread, draw, job, self.town.renderer)
                for shot in shots:
                    self.hub.publish(shot.camera.stream, shot.message, drop_if_busy=busy)
        finally:
            for shot in shots:
                shot.message.pending -= 1
