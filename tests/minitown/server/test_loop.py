"""A town that goes to and fro: what is drawn once comes again, and clocks go on."""

import queue

import numpy as np
import pytest

from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.scene import CameraView
from realmaster_live.minitown.server.cameras import Blank
from realmaster_live.minitown.server.loop import Loop, Remembering
from realmaster_live.minitown.traffic.population import populate
from realmaster_live.minitown.traffic.world import World

DT = 0.05
TO_AND_FRO = [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]


@pytest.fixture
def world():
    world = World(make_network(7), seed=7)
    populate(world, 4, 4, 7)
    for _ in range(40):
        world.step(DT)
    return world


def poses(world):
    return {actor.id: actor.pose for actor in world.actors.values() if actor.moves}


def test_places_come_again_while_frames_and_time_go_on(world):
    loop, seen, states = Loop(world, 4), [], []
    began, frame = world.time_s, world.frame
    for number in range(len(TO_AND_FRO)):
        assert loop.step(DT) == world.frame == frame + number + 1
        seen.append(poses(world))
        states.append(loop.scene_state())
    assert world.time_s == pytest.approx(began + len(TO_AND_FRO) * DT)
    assert [state.frame for state in states] == list(range(frame + 1, world.frame + 1))
    for number, place in enumerate(TO_AND_FRO):
        assert seen[number] == seen[place]
        assert states[number].instances is states[place].instances
    assert all(seen[place] != seen[place + 1] for place in range(3))


def test_one_tick_stands_still_and_what_was_destroyed_stays_away(world):
    loop = Loop(world, 1)
    loop.step(DT)
    first = poses(world)
    gone = next(iter(first))
    world.destroy(gone)
    loop.step(DT)
    assert poses(world) == {key: pose for key, pose in first.items() if key != gone}


class Counting(Blank):
    """Counts what it draws."""

    drawn = 0

    def render(self, state, view, *, flow_from=None):
        self.drawn += 1
        return super().render(state, view, flow_from=flow_from)


def test_each_view_of_each_tick_is_drawn_once(world):
    loop, counting = Loop(world, 4), Counting()
    renderer = Remembering(counting)
    near, far = (
        CameraView(cam_to_world=np.eye(4) * n, width=8, height=4, fov_deg=90.0) for n in (1, 2)
    )
    before = None
    for _ in TO_AND_FRO:
        loop.step(DT)
        state = loop.scene_state()
        renderer.render(state, near)
        renderer.render(state, far, flow_from=before)
        before = state, far
    # the flow at a tick is another one on the way back
    assert counting.drawn == 4 + 4 + 3


@pytest.mark.carla
def test_pictures_of_a_looping_town_are_those_of_the_ticks_before(running):
    carla = pytest.importorskip("carla")
    with running("--seed", "7", "--vehicles", "4", "--loop", "3") as server:
        client = server.client()  # a world outlives its client only while that is held
        world = client.get_world()
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, DT
        world.apply_settings(settings)
        ego = next(iter(world.get_actors().filter("vehicle.*")))
        blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
        blueprint.set_attribute("image_size_x", "160")
        blueprint.set_attribute("image_size_y", "90")
        camera = world.spawn_actor(blueprint, carla.Transform(carla.Location(1.5, 0, 1.7)), ego)
        images = queue.Queue()
        camera.listen(images.put)
        frames = [world.tick() for _ in range(7)]
        taken = [images.get(timeout=60) for _ in frames]
        camera.stop()
        assert [image.frame for image in taken] == frames
        pictures = [bytes(image.raw_data) for image in taken]
        assert [pictures.index(picture) for picture in pictures] == [0, 1, 2, 1, 0, 1, 2]
