"""Calls and recorder logs with random content, in the test's own process: none ends a tick."""

import asyncio

import pytest
from damage import any_value, cases, changed, text

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

PAIRS = ["fov", "image_size_x", "sensor_tick", "color", "role_name", "x"]
WORDS = ["1", "nan", "-5", "64", "1e9", "hero", "1,2,3", "", "x"]
NUMBERS = [0.0, 1.0, -1.0, 1e3, 1e6, -1e6, 1e300, 1e-300, 2**63, -(2**63), 2**64 - 1]
NUMBERS += [float("nan"), float("inf"), float("-inf"), 3e38]


def number(rng):
    return rng.choice((rng.choice(NUMBERS), rng.uniform(-2, 2), rng.uniform(-1e3, 1e3)))


def flag(rng):
    return rng.random() < 0.5


def actor(rng):
    return rng.randrange(61)


def triple(rng):
    return [number(rng) for _ in range(3)]


def place(rng):
    return [triple(rng), triple(rng)]


def description(rng):
    type_id = rng.choice([*LIBRARY, "nothing"])
    return [
        0,
        type_id,
        [[rng.choice(PAIRS), 3, rng.choice(WORDS)] for _ in range(rng.randrange(4))],
    ]


def control(rng):
    return [*triple(rng), flag(rng), flag(rng), flag(rng), rng.randint(-5, 5)]


def walk(rng):
    return [triple(rng), number(rng), flag(rng)]


def sheet(rng):
    return [triple(rng) if rng.randrange(3) == 0 else number(rng) for _ in range(17)]


def new_settings(rng):
    step = [False] if flag(rng) else [flag(rng), number(rng)]
    return [
        *(flag(rng), flag(rng), step, flag(rng), number(rng), rng.randrange(21)),
        *(number(rng), flag(rng), number(rng), number(rng), flag(rng)),
    ]


SHAPES = {
    "spawn_actor": (description, place),
    "spawn_actor_with_parent": (description, place, actor, lambda rng: rng.randrange(4), text),
    "destroy_actor": (actor,),
    "get_actors_by_id": (lambda rng: [actor(rng) for _ in range(rng.randrange(6))],),
    "set_actor_transform": (actor, place),
    "set_actor_location": (actor, triple),
    "set_actor_simulate_physics": (actor, flag),
    "set_actor_target_velocity": (actor, triple),
    "set_actor_target_angular_velocity": (actor, triple),
    "add_actor_impulse": (actor, triple),
    "add_actor_force": (actor, triple),
    "enable_actor_constant_velocity": (actor, triple),
    "apply_control_to_vehicle": (actor, control),
    "apply_control_to_walker": (actor, walk),
    "apply_physics_control": (actor, sheet),
    "set_actor_autopilot": (actor, flag),
    "set_vehicle_light_state": (actor, lambda rng: [rng.randint(-(2**40), 2**40)]),
    "set_traffic_light_state": (actor, lambda rng: rng.randint(-1, 5)),
    "set_traffic_light_green_time": (actor, number),
    "freeze_traffic_light": (actor, flag),
    "set_weather_parameters": (lambda rng: [number(rng) for _ in range(14)],),
    "set_episode_settings": (new_settings,),
    "add_traffic_manager_running": (lambda rng: [text(rng), rng.randrange(70_001)],),
}
OTHERS = sorted(set(CALLS) - {"load_new_episode", "copy_opendrive_to_file"})


def some_calls(rng):
    """One to four calls: three of four have arguments of the right form."""
    made = []
    for _ in range(rng.randint(1, 4)):
        if rng.randrange(4):
            name = rng.choice(list(SHAPES))
            made.append((name, [draw(rng) for draw in SHAPES[name]]))
        else:
            arguments = [any_value(rng) for _ in range(rng.randrange(5))]
            made.append((rng.choice(OTHERS), arguments))
    return made


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

    def renew(self):
        """Begin another world now and then, and where this one has filled up."""
        self.examples += 1
        if self.examples % 50 == 0 or len(self.episode.world.actors) > 150:
            self.episode.close()
            self.begin()

    def play(self, made):
        """Make the calls, then two ticks: a failing tick is the test's error.

        Returns:
            whether a call was refused.
        """
        self.renew()
        return asyncio.run(self._play(made))

    async def _play(self, made):
        CONNECTION.set(1)
        episode = self.episode
        episode._lock, episode.mode_changed = asyncio.Lock(), asyncio.Event()
        answers = [await CALLS[name].answer(episode, name, args) for name, args in made]
        assert all(isinstance(answer, list) for answer in answers)
        for stream in episode._streams.values():
            episode.hub._streams[stream] = [_Listener()]
        for _ in range(2):
            await episode.tick()
        await episode._finish_drawing()
        return any("expected" in str(answer) for answer in answers)


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


@cases(few=100, many=6_000)
def test_random_calls_leave_every_tick_whole(fuzz, scene):
    fuzz("calls", lambda rng: scene.play(some_calls(rng)))


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


def read_damaged(rng, scene, log):
    """Return the frames of a log with some other bytes, or None where it was refused."""
    path = scene.folder / "damaged.log"
    path.write_bytes(changed(rng, log))
    try:
        return read_log(path)[1]
    except RecordingError as error:
        assert str(error).startswith("expected") and "\n" not in str(error)
        return None


def read(rng, scene, log):
    frames = read_damaged(rng, scene, log)
    assert frames is None or all(isinstance(frame, LogFrame) for frame in frames)
    return frames is None


def replay(rng, scene, log):
    """Play what can be read of a damaged log, and record the world meanwhile."""
    frames = read_damaged(rng, scene, log)
    if not frames:
        return True
    scene.renew()
    world = scene.episode.world
    world.replayer = LogReplayer(world, frames, ReplayOptions(), start_s=0.0, stop_s=10.0)
    again = LogRecorder(scene.folder / "again.log", scene.town.map_name)
    for _ in range(4):
        world.step(0.05)
        again.write(world, 0.05)
    again.close()
    scene.episode.stop_replayer(keep_actors=False)
    return False


@cases(few=100, many=5_000)
def test_damaged_logs_are_read_or_refused(fuzz, scene, log):
    fuzz("logs to read", lambda rng: read(rng, scene, log))


@cases(few=30, many=500)
def test_damaged_logs_are_refused_or_played(fuzz, scene, log):
    fuzz("logs to play", lambda rng: replay(rng, scene, log))
