"""Agents of the leaderboard and of ScenarioRunner, in both shapes of their sensor interface."""

import queue
import time

import carla
import numpy as np
import pytest

from realmaster_live.agents import realize_agent
from realmaster_live.errors import ConfigError
from realmaster_live.feeds.choice import CameraChoice
from realmaster_live.feeds.realizing import Realizing

pytestmark = pytest.mark.carla


class LatestInterface:
    """Keeps the latest measurement of each sensor, as ScenarioRunner's does."""

    def __init__(self) -> None:
        self._sensors_objects: dict = {}
        self._latest: dict = {}

    def register_sensor(self, tag, sensor) -> None:
        self._sensors_objects[tag] = sensor

    def update_sensor(self, tag, data, timestamp) -> None:
        assert tag in self._sensors_objects
        self._latest[tag] = (timestamp, data)

    def get_data(self) -> dict:
        return dict(self._latest)


class StrictInterface:
    """Waits for every sensor's measurement of one frame, as the leaderboard's does."""

    def __init__(self) -> None:
        self._sensors_objects: dict = {}
        self._new: queue.Queue = queue.Queue()

    def register_sensor(self, tag, sensor_type, sensor) -> None:
        self._sensors_objects[tag] = sensor

    def update_sensor(self, tag, data, frame) -> None:
        self._new.put((tag, frame, data))

    def get_data(self, frame) -> dict:
        found: dict = {}
        while len(found) < len(self._sensors_objects):
            tag, number, data = self._new.get(timeout=5.0)
            if number == frame:
                found[tag] = (number, data)
        return found


class Agent:
    def __init__(self, interface) -> None:
        self.sensor_interface = interface


def arrays_of(image) -> np.ndarray:
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4).copy()


def camera_of(world, width: int):
    blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
    blueprint.set_attribute("image_size_x", str(width))
    blueprint.set_attribute("image_size_y", "32")
    return world.spawn_actor(blueprint, carla.Transform(carla.Location(z=30.0)))


def test_a_strict_agent_gets_photoreal_arrays_of_the_frame_it_ticked(blank_client):
    agent = Agent(StrictInterface())
    choice = CameraChoice(sizes=((64, 32),))
    interface = realize_agent(agent, Realizing(cameras=choice))
    assert interface is agent.sensor_interface and isinstance(interface, StrictInterface)
    world = blank_client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    cameras = {"front": camera_of(world, 64), "rear": camera_of(world, 96)}
    try:
        for tag, camera in cameras.items():
            interface.register_sensor(tag, "sensor.camera", camera)
            camera.listen(
                lambda image, tag=tag: interface.update_sensor(tag, arrays_of(image), image.frame)
            )
        time.sleep(0.2)
        first = None
        for _ in range(500):
            frame = world.tick(5.0)
            data = interface.get_data(frame)
            assert {number for number, _ in data.values()} == {frame}
            assert data["rear"][1].shape == (32, 96, 4)
            first = data["front"][1] if first is None else first
            if not np.array_equal(data["front"][1], first):
                break  # the first image is as drawn, this one is photoreal
        else:
            pytest.fail("no array was photoreal")
    finally:
        for camera in cameras.values():
            camera.stop()
    assert list(interface.figures) == ["front"]
    interface.close_realized()


def test_a_sensor_that_was_made_before_is_found_and_each_frame_realized_alone():
    class Sensor:
        type_id = "sensor.camera.rgb"
        attributes = {"fov": "70"}  # noqa: RUF012

    agent = Agent(LatestInterface())
    agent.sensor_interface.register_sensor("a", Sensor())
    interface = realize_agent(agent, Realizing(engine="identity", policy="frame"))
    picture = np.random.default_rng(1).integers(0, 256, (32, 64, 4), np.uint8)
    interface.update_sensor("a", picture, 5)
    interface.close_realized()
    frame, got = interface.get_data()["a"]
    assert frame == 5
    np.testing.assert_array_equal(got[..., :3], picture[..., :3])


def test_what_would_starve_an_agent_is_refused():
    with pytest.raises(ConfigError, match="expected policy hold or frame, got delay"):
        realize_agent(Agent(LatestInterface()), Realizing(policy="delay"))
    with pytest.raises(ConfigError, match="lacks register_sensor and update_sensor"):
        realize_agent(Agent(None))
