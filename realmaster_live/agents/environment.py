"""A Gymnasium environment whose observed picture is photoreal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.agents.array_feed import ArrayFeed
from realmaster_live.errors import ConfigError, EngineError
from realmaster_live.feeds.figures import FeedFigures
from realmaster_live.feeds.pixels import Pixels, cv2
from realmaster_live.feeds.realizing import Realizing
from realmaster_live.optional import require
from realmaster_live.protocols import Engine

Wrapper: Any = require("gymnasium", extra="agents").Wrapper
ENGINE_S = 60.0  # how long a step may wait for the engine


class RealizedEnvironment(Wrapper):  # type: ignore[misc]
    """Swaps the picture of each observation; see `realize_environment`."""

    def __init__(
        self, env: Any, key: tuple[str, ...], realizing: Realizing, *, fps: float, engine: Any
    ) -> None:
        super().__init__(env)
        _check_space(env.observation_space, key)
        self._key, self._policy, self._engine = key, realizing.policy, engine
        self._shown: Pixels | None = None
        self._frame = 0
        self._feed = ArrayFeed("observation", realizing, self._show, fps=fps, engine=engine)

    @property
    def figures(self) -> FeedFigures:
        """Counts since the last reset: pictures, ages, losses."""
        return FeedFigures() if self._feed.feed is None else self._feed.feed.figures

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment; its first picture follows nothing."""
        self._feed.restart()
        observation, info = self.env.reset(**options)
        return self._realized(observation, last=True), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step; with policy `lockstep` as often as the chunk takes, with one action.

        The rewards of those steps are added; an episode's end ends them, and the picture with it.
        """
        total: Any = 0.0
        while True:
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += reward
            over = terminated or truncated
            last = over or self._policy != "lockstep" or self._lacking() == 1
            observation = self._realized(observation, last=last)
            if last:
                return observation, total, terminated, truncated, info

    def close(self) -> None:
        """Close the engine and the environment."""
        self._feed.close()
        self.env.close()

    def _lacking(self) -> int:
        return 1 if self._feed.feed is None else self._feed.feed.missing

    def _realized(self, observation: Any, *, last: bool) -> Any:
        """Return the observation with its picture realized; as it is in the midst of a chunk."""
        picture = observation
        for part in self._key:
            picture = picture[part]
        pixels = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2BGRA)
        self._frame, self._shown = self._frame + 1, None
        feed = self._feed.put(None, pixels, self._frame)
        if not last:
            return observation
        if not feed.policy.at_once:
            feed.flush()
            if not feed.wait(self._frame, ENGINE_S, delivered=True):
                raise EngineError(
                    f"expected the realized picture within {ENGINE_S:g} s, got none: the engine is "
                    "slower than that, or stuck"
                )
        if self._shown is None:
            return observation
        return _with(observation, self._key, cv2.cvtColor(self._shown, cv2.COLOR_BGRA2RGB))

    def _show(self, payload: Any, pixels: Pixels | None) -> None:
        self._shown = pixels


def realize_environment(
    env: Any,
    *,
    key: str | Sequence[str] = (),
    engine: Engine | str = "embedded",
    policy: str = "hold",
    size: tuple[int, int] | None = None,
    prompt: str | None = None,
    fps: float = 20.0,
) -> RealizedEnvironment:
    """Return a Gymnasium environment whose observed picture, (H, W, 3) uint8 RGB, is photoreal.

    Args:
        env: the environment.
        key: where the picture is in a dictionary of observations; none where it is the observation.
        engine: an Engine, or the name or folder of one, which `close` closes.
        policy: `hold` shows the newest photoreal picture, `frame` realizes each alone, and
            `lockstep` repeats an action through a chunk and shows the chunk's last picture.
        size: of an engine given by name, (width, height) in pixels; the picture's own by default.
        prompt: of an engine given by name.
        fps: steps a simulated second.

    Raises:
        ConfigError: there is no such picture, or the policy is none of these.
    """
    if policy not in ("hold", "frame", "lockstep"):
        raise ConfigError(
            f"expected policy hold, frame or lockstep, got {policy!r}: a step returns its picture"
        )
    named = engine if isinstance(engine, str) else "identity"
    realizing = Realizing(engine=named, policy=policy, size=size, prompt=prompt)  # type: ignore[arg-type]
    given = None if isinstance(engine, str) else engine
    where = (key,) if isinstance(key, str) else tuple(key)
    return RealizedEnvironment(env, where, realizing, fps=fps, engine=given)


def _check_space(space: Any, key: tuple[str, ...]) -> None:
    """Raise ConfigError unless the space has a picture there."""
    found = space
    for part in key:
        inner = getattr(found, "spaces", None)
        if not isinstance(inner, Mapping) or part not in inner:
            where = "/".join(map(str, key))
            raise ConfigError(
                f"expected a picture at {where} in dictionaries of observations, got {space}: give "
                "its key"
            )
        found = inner[part]
    shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", None)
    if shape is None or len(shape) != 3 or shape[2] != 3 or dtype != np.uint8:
        raise ConfigError(
            f"expected a picture (H, W, 3) uint8 RGB, got {found}: give the key of one, or convert "
            "the observation first"
        )


def _with(observation: Any, key: tuple[str, ...], picture: NDArray[np.uint8]) -> Any:
    """Return an observation with another picture; what is around it is copied, not changed."""
    if not key:
        return picture
    return {**observation, key[0]: _with(observation[key[0]], key[1:], picture)}
