"""The engines that a user's options name: loaded, shared by cameras, and fitted to a policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from realmaster_live.errors import ConfigError
from realmaster_live.feeds.choice import CameraChoice
from realmaster_live.feeds.one_frame import one_frame
from realmaster_live.feeds.policies import DEFAULT, LatencyPolicy, policy_of
from realmaster_live.feeds.shared_engines import SharedEngines
from realmaster_live.feeds.two_pass import TwoPass
from realmaster_live.protocols import Engine

Size = tuple[int, int]
NAMED = ("embedded", "identity")  # engines that need no folder
TRIAL_SIZE = (512, 288)
STRIDE = 32  # pixels; sides that are multiples of it fit the embedded model


@dataclass(frozen=True, kw_only=True)
class Realizing:
    """How a program's cameras are realized; the options of every way in.

    Attributes:
        engine: name or folder of the engine.
        policy: the latency policy.
        size: the engine's size in pixels; None for each camera's own, rounded to multiples of 32.
        prompt: the weather or look to show; None for the model's own.
        record: for `two_pass`, the folder that gets one recording a camera.
        cameras: which of them are realized.
    """

    engine: str = "embedded"
    policy: LatencyPolicy = DEFAULT
    size: Size | None = None
    prompt: str | None = None
    record: Path | None = None
    cameras: CameraChoice = field(default_factory=CameraChoice)

    def __post_init__(self) -> None:
        """Check that the options go together; raises ConfigError."""
        check_record(self.policy, self.record)
        if self.size is not None and not _is_size(self.size):
            raise ConfigError(
                f"expected size as (width, height) in pixels, got {self.size!r}: give two whole "
                "numbers, such as (512, 288)"
            )
        if self.engine not in NAMED and not Path(self.engine).is_dir():
            raise ConfigError(
                f"expected {' or '.join(NAMED)} or the folder of an engine, got {self.engine!r}: "
                "give the folder that an export, a training or a build wrote"
            )

    def check_engine(self) -> None:
        """Load the engine once, so that what is wrong shows early; raises what loading raises."""
        self._load(*(self.size or TRIAL_SIZE), fps=20.0).close()

    def engines(self) -> SharedEngines:
        """Return what loads an engine for each camera."""
        return SharedEngines(self._load)

    def size_for(self, width: int, height: int) -> Size:
        """Return the engine's size for a camera's."""
        return self.size or (rounded(width), rounded(height))

    def _load(self, width: int, height: int, fps: float) -> Engine:
        from realmaster_live.engines.load import load_engine

        return load_engine(self.engine, width=width, height=height, fps=fps, prompt=self.prompt)


def rounded(side: int) -> int:
    """Return the multiple of 32 nearest to a side in pixels, the lower one of two, and not 0."""
    return max(STRIDE, (side + STRIDE // 2 - 1) // STRIDE * STRIDE)


def _is_size(size: object) -> bool:
    return (
        isinstance(size, tuple | list)
        and len(size) == 2
        and all(isinstance(side, int) and side > 0 for side in size)
    )


def check_record(policy: str, record: object) -> None:
    """Raise ConfigError unless a folder is given exactly where the policy records."""
    if policy_of(policy).photoreal != (record is None):
        wanted = "no folder to record in" if record else "a folder to record in"
        raise ConfigError(
            f"expected {wanted} with policy {policy}, got {record}: only two_pass needs one"
        )


def engine_under(policy: str, engine: Engine, record: str | Path | None = None) -> Engine:
    """Return what a feed of this policy runs in an engine's place: itself for most of them."""
    check_record(policy, record)
    if record is not None:
        return TwoPass(engine, record)
    return one_frame(engine) if policy == "frame" else engine
