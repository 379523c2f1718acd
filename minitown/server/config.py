"""What a server serves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from realmaster_live.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Serve the embedded town to any CARLA client.

    Attributes:
        host: Address on which to listen.
        port: Port on which to listen; streams take the next one if it is free. 0 takes any free
            port.
        seed: Which town is built.
        version: The version of CARLA that is spoken.
        fps: Ticks a second while no client ticks, and the time step where no client sets one.
        vehicles: Vehicles that drive by themselves; one of them has the role name hero.
        walkers: Pedestrians that walk by themselves.
        opendrive: Serve the town that this OpenDRIVE file describes, in place of --seed.
        state_log: Append the scene of every tick to this file.
        raster: Send one fixed picture instead of drawing any.
        loop: Go to and fro over this many ticks once a camera looks, and draw each of them once:
            for measuring what comes behind the simulator. 0 drives on.
        look: The look of the pictures: A, B, or drawn-N, drawn at random from the number N.
        antialiasing: Draw jagged edges, in two thirds of the time.
    """

    host: str = "127.0.0.1"
    port: int = 2000
    seed: int = 7
    version: Literal["0.9.15", "0.9.16"] = "0.9.16"
    fps: float = 20.0
    vehicles: int = 0
    walkers: int = 0
    opendrive: Path | None = None
    state_log: Path | None = None
    raster: bool = True
    loop: int = 0
    look: str = "A"
    antialiasing: bool = True

    def __post_init__(self) -> None:
        """Check the values, once; raises ConfigError."""
        from realmaster_live.minitown.raster.look import (
            look_named,
        )  # numpy, which --help is without

        if not 0 <= self.port <= 65535:
            raise ConfigError(f"expected a port from 0 to 65535, got {self.port}: give another")
        if not (math.isfinite(self.fps) and 0 < self.fps <= 1000):
            raise ConfigError(f"expected fps above 0, got {self.fps:g}: set another rate")
        look_named(self.look)
        for name in ("vehicles", "walkers", "loop"):
            if not 0 <= getattr(self, name) <= 10_000:
                raise ConfigError(
                    f"expected {name} from 0 to 10000, got {getattr(self, name)}: give fewer"
                )
