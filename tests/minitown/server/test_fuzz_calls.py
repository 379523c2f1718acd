"""Calls and recorder logs with random content, in the test's own process: none ends a tick."""

import asyncio
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realmaster_live.errors import RecordingError
from realmaster_live.minitown.server import calls, streams
from realmaster_live.minitown.server.calls import CONNECTION
from realmaster_live.minitown.server.episode import Episode, ServerConfig
from realmaster_live.minitown.server.log_file import LogFrame, read_log
from realmaster_live.minitown.server.log_recorder import LogRecorder
from realmaster_live.minitown.server.log_replayer import LogReplayer, ReplayOptions
from realmaster_live.minitown.server.rpc import CALLS
from realmaster_live.minitown.server.streams import StreamHub
from realmaster_live.minitown.server.towns import load_town
from realmaster_live.minitown.traffic.blueprints import LIBRARY

HEALTH = {"deadline": None, "suppress_health_check": list(HealthCheck)}
QUICK, SLOW = settings(max_examples=100, **HEALTH), settings(max_examples=50_000, **HEALTH)

NUMBER = (
    st.floats()
    | st.floats(-2.0, 2.0)
    | st.sampled_from([0.0, 1.0, -1.0, 1e6, -1e6, 1e3, 1e300, 1e-300])
    | st.integers(-(2**63), 2**64 - 1)
)
ID = st.integers(0, 60)
TRIPLE = st.lists(NUMBER, min_size=3, max_size=3)
PLACE = st.lists(TRIPLE, min_size=2, max_size=2)
FLAG = st.booleans()
TEXT = st.text(max_size=12)
VALUES = st.lists(
    st.tuples(
        st.sampled_from(["fov", "image_size_x", "sensor_tick", "color", "role_name", "x"]),
        st.just(3),
        st.sampled_from(["1", "nan", "-5", "64", "1e9", "hero", "1,2,3", ""]) | TEXT,
    ).map(list),
    max_size=3,
)
DESCRIPTION = st.tuples(st.just(0), st.sampled_from([*LIBRARY, "nothing"]), VALUES).map(list)
JUNK = st.recursive(
    st.none() | FLAG | NUMBER | TEXT | st.binary(max_size=8),
    lambda children: st.lists(children, max_size=4),
    max_leaves=8,
)
CONTROL = st.tuples(NUMBER, NUMBER, NUMBER, FLAG, FLAG, FLAG, st.integers(-5, 5)).map(list)
WALK = st.tuples(TRIPLE, NUMBER, FLAG).map(list)
SHEET = st.lists(NUMBER | st.lists(NUMBER, max_size=3), min_size=17, max_size=17)
SETTINGS = st.tuples(
    FLAG, FLAG, st.just([False]) | st.tuples(FLAG, NUMBER).map(list), FLAG, NUMBER,
    st.integers(0, 20), NUMBER, FLAG, NUMBER, NUMBER, FLAG,
).map(list)  # fmt: skip

SHAPES = {
    "spawn_actor": (DESCRIPTION, PLACE),
    "spawn_actor_with_parent": (DESCRIPTION, PLACE, ID, st.integers(0, 3), TEXT),
    "destroy_actor": (ID,),
    "get_actors_by_id": (st.lists(ID, max_size=5),),
    "set_actor_transform": (ID, PLACE),
    "set_actor_location": (ID, TRIPLE),
    "set_actor_simulate_physics": (ID, FLAG),
    "set_actor_target_velocity": (ID, TRIPLE),
    "set_actor_target_angular_velocity": (ID, TRIPLE),
    "add_actor_impulse": (ID, TRIPLE),
    "add_actor_force": (ID, TRIPLE),
    "enable_actor_constant_velocity": (ID, TRIPLE),
    "apply_control_to_vehicle": (ID, CONTROL),
    "apply_control_to_walker": (ID, WALK),
    "apply_physics_control": (ID, SHEET),
    "set_actor_autopilot": (ID, FLAG),
    "set_vehicle_light_state": (ID, st.lists(st.integers(), min_size=1, max_size=1)),
    "set_traffic_light_state": (ID, st.integers(-1, 5)),
    "set_traffic_light_green_time": (ID, NUMBER),
    "freeze_traffic_light": (ID, FLAG),
    "set_weather_parameters": (st.lists(NUMBER, min_size=14, max_size=14),),
    "set_episode_settings": (SETTINGS,),
    "add_traffic_manager_running": (st.tuples(TEXT, st.integers(0, 70_000)).map(list),),
}
WELL_FORMED = st.sampled_from(sorted(SHAPES)).flatmap(
    lambda name: st.tuples(st.just(name), st.tuples(*SHAPES[name]).map(list))
)
RANDOM = st.tuples(st.sampled_from(sorted(CALLS)), st.lists(JUNK, max_size=4)).filter(
    lambda call: call[0] not in ("load_new_episode", "copy_opendrive_to_file")
)


class Scene:
    """An episode that is not drawn, on an event loop of its own."""

    def __init__(self, folder):
        self.town = load_town("MiniTown07", drawn=False)
        self.config = ServerConfig(raster=False, vehicles=3, walkers=3)
        self.folder = folder
        self.examples = 0
        self.begin()

    def begin(self):
        self.episode = Episode(self.config, self.town, StreamHub())

    def play(self, made):
        """Make the calls, then two ticks: a failing tick is the test's error."""
        self.examples += 1
        if self.examples % 50 == 0 or len(self.episode.world.actors) > 150:
            self.episode.close()
            self.begin()
        asyncio.run(self._play(made))

    async def _play(self, made):
        CONNECTION.set(1)
        episode = self.episode
        episode._lock, episode.mode_changed = asyncio.Lock(), asyncio.Event()
        for name, args in made:
            answer = await CALLS[name].answer(episode, name, args)
            assert isinstance(answer, list)
        for stream in episode._streams.values():
            episode.hub._streams[stream] = [_Listener()]
        for _ in range(2):
            await episode.tick()
        await episode._finish_drawing()


class _Listener:
    """A subscriber that takes everything at once."""

    gone = late = False

    def lag(self):
        return 0

    def lags(self):
        return False

    def hang_up(self):
        pass

    @property
    def queue(self):
        return []

    class wake:
        set = staticmethod(lambda: None)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))

        def failed(*args):
            raise AssertionError(f"a call raised what is no refusal: {args}")

        patch.setattr(calls.log, "exception", failed)
        patch.setattr(streams, "ARRIVAL_S", 0.0)
        one = Scene(tmp_path_factory.mktemp("logs"))
        yield one
        one.episode.close()


@QUICK
@given(st.lists(WELL_FORMED | RANDOM, min_size=1, max_size=4))
def test_random_calls_leave_every_tick_whole(scene, calls):
    scene.play(calls)


@pytest.mark.soak
@SLOW
@given(st.lists(WELL_FORMED | RANDOM, min_size=1, max_size=4))
def test_fifty_thousand_random_calls_leave_every_tick_whole(scene, calls):
    scene.play(calls)


@pytest.fixture(scope="module")
def log(scene):
    """The bytes of a short log of a town with traffic."""
    world = Episode(scene.config, scene.town, StreamHub()).world
    path = scene.folder / "whole.log"
    recorder = LogRecorder(path, scene.town.map_name)
    for _ in range(4):
        world.step(0.05)
        recorder.write(world, 0.05)
    recorder.close()
    return path.read_bytes()


DAMAGE = st.tuples(
    st.lists(st.tuples(st.floats(0.0, 1.0), st.integers(0, 255)), max_size=8),
    st.floats(0.3, 1.0),
    st.integers(0, 2**32 - 1),
)


def replay(scene, log, damage):
    """Change bytes of a log, cut it, and play what can be read of it."""
    changes, share, seed = damage
    data = bytearray(log)
    for place, octet in changes:
        data[min(int(place * len(data)), len(data) - 1)] = octet
    if seed % 3 == 0:  # a number somewhere becomes another one
        rng = random.Random(seed)
        at = rng.randrange(len(data) - 8)
        data[at : at + 4] = rng.randbytes(4)
    path = scene.folder / "damaged.log"
    path.write_bytes(data[: int(share * len(data))])
    try:
        _, frames = read_log(path)
    except RecordingError:
        return
    assert all(isinstance(frame, LogFrame) for frame in frames)
    if not frames:
        return
    world = Episode(scene.config, scene.town, StreamHub()).world
    world.replayer = LogReplayer(world, frames, ReplayOptions(), start_s=0.0, stop_s=10.0)
    again = LogRecorder(scene.folder / "again.log", scene.town.map_name)
    for _ in range(4):
        world.step(0.05)
        again.write(world, 0.05)
    again.close()


@settings(QUICK, max_examples=30)
@given(DAMAGE)
def test_damaged_logs_are_refused_or_played(scene, log, damage):
    replay(scene, log, damage)


@pytest.mark.soak
@SLOW
@given(DAMAGE)
def test_fifty_thousand_damaged_logs_are_refused_or_played(scene, log, damage):
    replay(scene, log, damage)
