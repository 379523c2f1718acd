"""The options of `realmaster demo`, `bench` and `minitown truth`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from realmaster_live.engines.options import EngineOptions
from realmaster_live.errors import ConfigError

GAME_FPS = 10.0  # the town in the game's place draws while the engine realizes


def _check_above_0(value: float, what: str) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"expected {what} above 0, got {value:g}: raise it")


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Drive through the embedded town and leave a film, a report and a recording.

    Attributes:
        out: Folder for everything that is made.
        bridge: What the embedded town stands in for: a CARLA server, which waits for each frame, or
            GTA-V behind a capture harness, which does not wait.
        seconds: Seconds of driving, in simulated time.
        fps: Frames a second. Without it, 20, and 10 of the game.
        size: Size of the pictures. Without it, the largest of 512x288, 384x224 and 256x160 whose
            engine leaves room on this machine for the town beside it.
        engine: What realizes the frames: embedded, identity, or the folder of an exported model, a
            build or a checkpoint.
        prompt: The weather or look to show, such as rain. Without it, what the town shows.
        seed: Which town is built. The shipped model was never trained on town 25.
    """

    out: Path = Path("demo-out")
    bridge: Literal["carla", "gtav"] = "carla"
    seconds: float = 20.0
    fps: float | None = None
    size: tuple[int, int] | None = None
    engine: str = "embedded"
    prompt: str | None = None
    seed: int = 25

    def __post_init__(self) -> None:
        """Check the values, once; raises ConfigError."""
        _check_above_0(self.seconds, "--seconds")
        _check_above_0(self.rate, "--fps")

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.fps if self.fps is not None else GAME_FPS if self.bridge == "gtav" else 20.0


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measure the whole chain on this machine: frames a second, and the latency of every stage.

    Attributes:
        sizes: Sizes of the pictures, one run each.
        seconds: Seconds of driving in each run, in simulated time.
        fps: Frames a second of simulated time.
        engine: What realizes the frames: embedded, identity, or the folder of an exported model, a
            build or a checkpoint.
        seed: Which town is built.
        drawing: When the town draws its pictures: live, on the same cores as the rest, or before,
            so that a loop of them is served in no time, as from a simulator on other hardware.
        alone: Time every part alone as well, and the engine without its cached reference.
    """

    sizes: tuple[tuple[int, int], ...] = ((512, 288),)
    seconds: float = 10.0
    fps: float = 20.0
    engine: str = "embedded"
    running: EngineOptions = field(default_factory=EngineOptions)
    seed: int = 7
    drawing: Literal["both", "live", "before"] = "both"
    alone: bool = True

    def __post_init__(self) -> None:
        """Check the values, once; raises ConfigError."""
        _check_above_0(self.seconds, "--seconds")
        _check_above_0(self.fps, "--fps")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Path-trace frames of a recording that was made in the embedded town.

    Attributes:
        recording: The recording's folder, such as demo-out/recording.
        out: Folder for one PNG file a frame, named by the frame's number. Without it, the folder
            truth inside the recording.
        every: Trace every n-th frame.
        spp: Samples of each pixel.
    """

    recording: Path
    out: Path | None = None
    every: int = 20
    spp: int = 12

    def __post_init__(self) -> None:
        """Check the values, once; raises ConfigError."""
        if min(self.every, self.spp) < 1:
            raise ConfigError(
                f"expected --every and --spp of 1 or more, got {self.every} and {self.spp}: raise "
                "them"
            )

    @property
    def folder(self) -> Path:
        """Where the pictures go."""
        return self.out or self.recording / "truth"
