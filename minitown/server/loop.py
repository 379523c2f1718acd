"""A world that goes to and fro over a few ticks, whose pictures are drawn only once.

Whoever measures what is behind a simulator has it take next to no time, and still send pictures,
labels and states as ever.
"""

from __future__ import annotations

from typing import NamedTuple

from realmaster_live.minitown.scene import CameraView, Instance, SceneState
from realmaster_live.minitown.server.cameras import Drawing, Renderer
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import Pose, Vector

MOST_DRAWN = 256  # pictures that are remembered


class Motion(NamedTuple):
    """Where one actor is and how it moves."""

    pose: Pose
    velocity: Vector
    acceleration: Vector
    angular_velocity: Vector


class Moment(NamedTuple):
    """One tick: actor id -> motion, and what a renderer draws."""

    motions: dict[int, Motion]
    instances: tuple[Instance, ...]


class Loop:
    """Steps a world: onwards for some ticks, then backwards and forwards over these.

    Traffic stands still at the turns and its speeds stay those of the way onwards.
    """

    def __init__(self, world: World, ticks: int) -> None:
        self._world, self._ticks = world, ticks
        self._moments: list[Moment] = []
        self._now, self._direction = -1, 1

    def step(self, dt: float) -> int:
        """Move the world on by `dt` seconds of its clock; returns the new frame number."""
        world = self._world
        if len(self._moments) < self._ticks:
            world.step(dt)
            motions = {
                actor.id: Motion(
                    actor.pose, actor.velocity, actor.acceleration, actor.angular_velocity
                )
                for actor in world.actors.values()
                if actor.moves
            }
            self._moments.append(Moment(motions, world.scene_state().instances))
            self._now += 1
            return world.frame
        if not 0 <= self._now + self._direction < self._ticks:
            self._direction = -self._direction
        self._now = min(max(self._now + self._direction, 0), self._ticks - 1)
        world.frame += 1
        world.time_s += dt
        world.collisions = []
        for actor_id, motion in self._moments[self._now].motions.items():
            actor = world.actors.get(actor_id)
            if actor is not None:  # it was not destroyed meanwhile
                actor.pose, actor.velocity, actor.acceleration, actor.angular_velocity = motion
        world.mount()
        return world.frame

    def scene_state(self) -> SceneState:
        """Return what a renderer needs to draw this tick; equal ticks have one `instances`."""
        world = self._world
        return SceneState(
            town_seed=world.network.seed,
            frame=world.frame,
            time_s=world.time_s,
            weather=world.weather,
            instances=self._moments[self._now].instances,
        )


class Remembering:
    """A renderer that draws each view of each tick of a Loop once."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._drawn: dict[tuple[object, ...], tuple[object, Drawing]] = {}

    def render(
        self,
        state: SceneState,
        view: CameraView,
        *,
        flow_from: tuple[SceneState, CameraView] | None = None,
    ) -> Drawing:
        """Draw one view of one state, or return what was drawn of it before."""
        sights = [(state, view), *([flow_from] if flow_from is not None else [])]
        key = tuple(
            (
                id(seen.instances),
                seen.weather,
                at.cam_to_world.tobytes(),
                (at.width, at.height),
                at.fov_deg,
            )
            for seen, at in sights
        )
        if key not in self._drawn:
            if len(self._drawn) >= MOST_DRAWN:
                self._drawn.pop(next(iter(self._drawn)))
            drawing = self._renderer.render(state, view, flow_from=flow_from)
            # with the instances, so that no others get their id
            self._drawn[key] = [seen.instances for seen, _ in sights], drawing
        return self._drawn[key][1]
