"""A Gymnasium environment whose picture is photoreal."""

import numpy as np
import pytest

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import ChunkSpec

gymnasium = pytest.importorskip("gymnasium")
WIDTH, HEIGHT = 64, 32


class Negative:
    """Inverts pictures, four at a time."""

    spec = ChunkSpec(frames=4, width=WIDTH, height=HEIGHT, fps=20.0)

    def __init__(self) -> None:
        self.closed = False
        self.resets = 0

    def realize(self, chunk):
        return chunk.with_frames(255 - chunk.frames)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True


class Counting(gymnasium.Env):
    """Shows its step's number as a grey picture; ends after ten steps."""

    def __init__(self, *, nested: bool = False) -> None:
        box = gymnasium.spaces.Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        self.nested = nested
        self.observation_space = (
            gymnasium.spaces.Dict({"cameras": gymnasium.spaces.Dict({"front": box})})
            if nested
            else box
        )
        self.action_space = gymnasium.spaces.Discrete(3)
        self.actions: list[int] = []

    def _observation(self):
        picture = np.full((HEIGHT, WIDTH, 3), len(self.actions), np.uint8)
        return {"cameras": {"front": picture}} if self.nested else picture

    def reset(self, *, seed=None, options=None):
        self.actions = []
        return self._observation(), {}

    def step(self, action):
        self.actions.append(action)
        return self._observation(), 1.0, len(self.actions) == 10, False, {}


def realized(env, **options):
    from realmaster_live.agents import realize_environment

    return realize_environment(env, engine=Negative(), **options)


def test_each_frame_realized_alone_is_the_steps_own():
    env = realized(Counting(), policy="frame")
    observation, _ = env.reset()
    assert (observation == 255).all()
    for number in range(1, 4):
        observation, reward, *_ = env.step(0)
        assert (observation == 255 - number).all() and reward == 1.0
        assert env.observation_space.contains(observation)
    env.close()


def test_lockstep_repeats_the_action_through_the_chunk_and_adds_the_rewards():
    env = realized(Counting(nested=True), key=("cameras", "front"), policy="lockstep")
    env.reset()
    observation, reward, terminated, _, _ = env.step(2)
    assert env.unwrapped.actions == [2] * 4 and reward == 4.0 and not terminated
    assert (observation["cameras"]["front"] == 255 - 4).all()
    env.step(1)
    observation, reward, terminated, _, _ = env.step(0)
    assert terminated and reward == 2.0  # the episode's end cut the chunk off
    assert (observation["cameras"]["front"] == 255 - 10).all()
    env.reset()
    assert env.figures.arrived == 1
    env.close()


def test_hold_shows_the_newest_photoreal_picture_at_once():
    env = realized(Counting())
    env.reset()
    shown = [env.step(0)[0][0, 0, 0] for _ in range(10)]
    assert shown[0] == 1  # as drawn
    assert set(shown) <= {*range(1, 11), 255 - 3, 255 - 7}
    assert env.figures.delivered == 11
    env.close()


def test_pictures_that_are_none_are_refused():
    with pytest.raises(ConfigError, match="expected a picture at cameras/rear"):
        realized(Counting(nested=True), key=("cameras", "rear"))
    with pytest.raises(ConfigError, match="expected a picture at 0 in dictionaries"):
        realized(Counting(), key=(0,))
    with pytest.raises(ConfigError, match="expected a picture \\(H, W, 3\\) uint8 RGB"):
        realized(Counting(nested=True), key="cameras")
    with pytest.raises(ConfigError, match="expected policy hold, frame or lockstep, got 'delay'"):
        realized(Counting(), policy="delay")
