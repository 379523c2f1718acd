"""Agents of the leaderboard and of ScenarioRunner, in the shapes of their sensor interface.

Names, arguments and the order of calls are those of leaderboard/envs/sensor_interface.py (which
had three shapes: 2019, like ScenarioRunner's, 8956c4e of 2020, and 2.0), agent_wrapper.py and
autonomous_agent.py, and of srunner/autoagents (320bda2).
"""

import copy
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

    def get_data(self, frame=None) -> dict:
        return dict(self._latest)

    def all_sensors_ready(self) -> bool:
        return set(self._latest) == set(self._sensors_objects)


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
            tag, number, data = self._new.get(timeout=30)
            if frame in (None, number):
                found[tag] = (number, data)
        return found


class QueuedInterface(StrictInterface):
    """Takes the next measurement of every sensor, as the leaderboard's did before 2.0."""

    def get_data(self) -> dict:
        return super().get_data(None)


class Agent:
    """As far as `realize_agent` looks at an agent."""

    def __init__(self, interface) -> None:
        self.sensor_interface = interface


SIZE = {"width": 64, "height": 32, "fov": 100}
PLACE = {"x": 0.7, "y": 0.0, "z": 1.6, "roll": 0.0, "pitch": 0.0, "yaw": 0.0}
SPECS = [
    {"type": "sensor.camera.rgb", "id": "Left", **PLACE, **SIZE},
    {"type": "sensor.camera.rgb", "id": "Right", **PLACE, **SIZE},
    {"type": "sensor.camera.rgb", "id": "Rear", **PLACE, **SIZE},
    {"type": "sensor.other.gnss", "id": "GPS", **PLACE},
    {"type": "sensor.other.imu", "id": "IMU", **PLACE},
    {"type": "sensor.speedometer", "id": "SPEED"},
]


class BenchmarkAgent:
    """Sets itself up and takes its data as agents of both benchmarks do."""

    def __init__(self, interface) -> None:
        self.sensor_interface = interface
        self.seen: list[dict] = []
        self.destroyed = 0

    def setup(self, path_to_conf_file) -> None:
        realize_agent(self, Realizing(cameras=CameraChoice(roles=("Left", "Right"))))

    def sensors(self) -> list[dict]:
        return SPECS

    def destroy(self) -> None:
        self.destroyed += 1

    def __call__(self, *frame) -> None:
        self.seen.append(self.sensor_interface.get_data(*frame))


class Measurement:
    """What a sensor gives that is none of CARLA's."""

    def __init__(self, data, frame) -> None:
        self.data, self.frame = data, frame


class Speedometer:
    """A sensor of the benchmark's own: no actor, without type and attributes."""

    def __init__(self, vehicle) -> None:
        self._vehicle, self._callback = vehicle, None

    def listen(self, callback) -> None:
        self._callback = callback

    def tick(self, frame) -> None:
        speed = self._vehicle.get_velocity().length()
        self._callback(Measurement({"speed": speed}, frame))

    def stop(self) -> None:
        self._callback = None

    def destroy(self) -> None:
        pass


class CallBack:
    """Registers the sensor when it is made, then hands its measurements on as arrays."""

    def __init__(self, tag, sensor_type, sensor, data_provider) -> None:
        self._tag, self._data_provider = tag, data_provider
        typed = isinstance(data_provider, StrictInterface)
        data_provider.register_sensor(tag, *((sensor_type,) if typed else ()), sensor)

    def __call__(self, data) -> None:
        if isinstance(data, carla.libcarla.Image):
            array = copy.deepcopy(np.frombuffer(data.raw_data, np.uint8))
            array = np.reshape(array, (data.height, data.width, 4))
        elif isinstance(data, carla.libcarla.GnssMeasurement):
            array = np.array([data.latitude, data.longitude, data.altitude])
        elif isinstance(data, carla.libcarla.IMUMeasurement):
            array = np.array([data.accelerometer.x, data.gyroscope.x, data.compass])
        else:
            array = data.data
        self._data_provider.update_sensor(self._tag, array, data.frame)


class Wrapper:
    """Makes an agent's sensors, ticks, and ends them, in the order of the benchmarks' own."""

    def __init__(self, agent, world, vehicle) -> None:
        self._agent, self._world, self._vehicle = agent, world, vehicle
        self._sensors: list = []

    def tick(self) -> int:
        frame = self._world.tick(30.0)
        for sensor in self._sensors:
            if isinstance(sensor, Speedometer):
                sensor.tick(frame)
        return frame

    def setup_sensors(self) -> None:
        library = self._world.get_blueprint_library()
        for spec in self._agent.sensors():
            if spec["type"] == "sensor.speedometer":
                sensor = Speedometer(self._vehicle)
            else:
                blueprint = library.find(spec["type"])
                if "width" in spec:
                    blueprint.set_attribute("image_size_x", str(spec["width"]))
                    blueprint.set_attribute("image_size_y", str(spec["height"]))
                    blueprint.set_attribute("fov", str(spec["fov"]))
                place = carla.Transform(
                    carla.Location(x=spec["x"], y=spec["y"], z=spec["z"]),
                    carla.Rotation(pitch=spec["pitch"], roll=spec["roll"], yaw=spec["yaw"]),
                )
                sensor = self._world.spawn_actor(blueprint, place, self._vehicle)
            interface = self._agent.sensor_interface
            sensor.listen(CallBack(spec["id"], spec["type"], sensor, interface))
            self._sensors.append(sensor)
        time.sleep(0.2)  # until every stream is connected, which the undrawn town outruns
        ready = getattr(self._agent.sensor_interface, "all_sensors_ready", lambda: True)
        for count in range(500):
            self.tick()
            if count >= 9 and ready():
                return

    def cleanup(self) -> None:
        for sensor in self._sensors:
            sensor.stop()
            sensor.destroy()
        self._world.tick(30.0)


class Camera:
    """A camera as its registration shows it."""

    type_id = "sensor.camera.rgb"
    attributes = {"fov": "70", "image_size_x": "64", "image_size_y": "32"}  # noqa: RUF012


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
        first, until = None, time.monotonic() + 60  # the engine is opened meanwhile
        while time.monotonic() < until:
            frame = world.tick(30.0)
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


@pytest.mark.parametrize("sensors_first", [True, False], ids=["sensors end first", "agent first"])
@pytest.mark.parametrize("shape", [LatestInterface, QueuedInterface, StrictInterface])
def test_an_agent_runs_in_the_benchmarks_own_order_of_calls(blank_client, shape, sensors_first):
    """Setup, sensors, ticks before the first step, steps, and both orders of the end."""
    world = blank_client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    car = world.get_blueprint_library().find("vehicle.lincoln.mkz_2020")
    vehicle = world.spawn_actor(car, world.get_map().get_spawn_points()[0])
    agent = BenchmarkAgent(shape())
    agent.setup("")
    interface = agent.sensor_interface
    wrapper = Wrapper(agent, world, vehicle)
    wrapper.setup_sensors()
    engines = [one.feed._engine for one in interface._feeds.values()]
    assert engines[0]._sessions is engines[1]._sessions  # one copy of the weights
    for _ in range(500):
        frame = wrapper.tick()
        agent(*((frame,) if shape is StrictInterface else ()))
        data = agent.seen[-1]
        assert set(data) == {spec["id"] for spec in SPECS}
        if shape is StrictInterface:
            assert {number for number, _ in data.values()} == {frame}
        pictures = {tag: data[tag][1] for tag in ("Left", "Right", "Rear")}
        assert {one.shape for one in pictures.values()} == {(32, 64, 4)}
        assert {one.dtype for one in pictures.values()} == {np.dtype(np.uint8)}
        realized = [
            not np.array_equal(pictures[tag], pictures["Rear"]) for tag in ("Left", "Right")
        ]
        if all(realized):
            break
    else:
        pytest.fail("no array was photoreal")
    assert data["GPS"][1].shape == (3,) and data["SPEED"][1].keys() == {"speed"}
    for end in (wrapper.cleanup, agent.destroy)[:: 1 if sensors_first else -1]:
        end()
    assert agent.destroyed == 1 and not interface._feeds
    assert set(interface.figures) == {"Left", "Right"}
    assert all(figures.realized for figures in interface.figures.values())
    vehicle.destroy()


def test_arrays_that_come_after_the_end_are_as_drawn():
    agent = BenchmarkAgent(LatestInterface())
    agent.setup("")
    sensor = Camera()
    agent.sensor_interface.register_sensor("Left", sensor)
    agent.destroy()
    picture = np.full((32, 64, 4), 9, np.uint8)
    agent.sensor_interface.update_sensor("Left", picture, 7)
    assert agent.sensor_interface.get_data()["Left"][1] is picture


def test_a_sensor_that_was_made_before_is_found_and_each_frame_realized_alone():
    agent = Agent(LatestInterface())
    agent.sensor_interface.register_sensor("a", Camera())
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
