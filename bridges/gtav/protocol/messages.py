"""What a client says to the game: DeepGTAV's messages, and those of its forks.

None leaves a choice to the game at the start and keeps it in a config.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

MAX_MESSAGE = 4095  # bytes: the game reads into 4096 and writes a NUL behind them
WEATHERS = (
    "CLEAR", "EXTRASUNNY", "CLOUDS", "OVERCAST", "RAIN", "CLEARING", "THUNDER", "SMOG", "FOGGY",
    "XMAS", "SNOWLIGHT", "BLIZZARD", "NEUTRAL", "SNOW",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Where and how the game drives; None leaves it to the game (a random place, its weather).

    Attributes:
        location: x, y and, for the forks, z and heading; metres, degrees.
        time: hour and minute. weather: one of WEATHERS. vehicle: a model's name.
        driving_mode: the game's flags and a speed in m/s; None lets the client drive by Commands.
    """

    location: tuple[float, ...] | None = None
    time: tuple[int, int] | None = None
    weather: str | None = None
    vehicle: str | None = None
    driving_mode: tuple[int, float] | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """What the game sends; None is the game's own choice.

    Attributes:
        rate: messages a second at most. frame: width and height of the picture, of the buffers
            with the fork that has `screen_resolution`, which is then the picture's.
        direction: a place to say the way to, metres. reward: two weights.
        start_index: the first message's number.
        bbox2d, depth_buffer, stencil_buffer: of the fork that sends buffers.
        others: more keys of a fork, as they are on the wire.
    """

    rate: float | None = None
    frame: tuple[int, int] | None = None
    screen_resolution: tuple[int, int] | None = None
    vehicles: bool | None = None
    peds: bool | None = None
    traffic_signs: bool | None = None
    direction: tuple[float, float, float] | None = None
    reward: tuple[float, float] | None = None
    throttle: bool | None = None
    brake: bool | None = None
    steering: bool | None = None
    speed: bool | None = None
    yaw_rate: bool | None = None
    driving_mode: bool | None = None
    location: bool | None = None
    time: bool | None = None
    start_index: int | None = None
    bbox2d: bool | None = None
    depth_buffer: bool | None = None
    stencil_buffer: bool | None = None
    others: Mapping[str, Any] = field(default_factory=dict)

    def picture_size(self) -> tuple[int, int] | None:
        """Return width and height of the picture that these options ask for."""
        return self.screen_resolution or self.frame


@dataclass(frozen=True, kw_only=True)
class Start:
    """Begin to send."""

    scenario: Scenario = Scenario()
    dataset: DatasetOptions = DatasetOptions()


@dataclass(frozen=True, kw_only=True)
class Config:
    """Change what is not None."""

    scenario: Scenario = Scenario()
    dataset: DatasetOptions = DatasetOptions()


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Send no more; the connection stays."""


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Drive: throttle and brake 0..1, steering -1..1, positive to the right."""

    throttle: float
    brake: float
    steering: float


@dataclass(frozen=True, kw_only=True)
class StartRecording:
    """Grab the screen and fill in the annotations from now on (fork with buffers)."""


@dataclass(frozen=True, kw_only=True)
class StopRecording:
    """Send stale frames and empty annotations from now on (fork with buffers)."""


@dataclass(frozen=True, kw_only=True)
class GoToLocation:
    """Drive to a place; metres, m/s."""

    x: float
    y: float
    z: float
    speed: float = 20.0


@dataclass(frozen=True, kw_only=True)
class TeleportToLocation:
    """Put the vehicle at a place; metres."""

    x: float
    y: float
    z: float


@dataclass(frozen=True, kw_only=True)
class SetCameraPositionAndRotation:
    """Mount the camera relative to the vehicle: x right, y forward, z up, metres and degrees."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    rot_x: float = 0.0
    rot_y: float = 0.0
    rot_z: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CreatePed:
    """Put a pedestrian near the vehicle; metres, degrees, the game's numbers."""

    model: float
    relative_forward: float
    relative_right: float
    heading: float
    task: int


@dataclass(frozen=True, kw_only=True)
class CreateVehicle:
    """Put a vehicle near ours; metres, degrees, the game's colour numbers, -1 for any."""

    model: str
    relative_forward: float
    relative_right: float
    heading: float
    color: int = -1
    color2: int = -1


@dataclass(frozen=True, kw_only=True)
class SetWeather:
    """Change the weather to one of WEATHERS."""

    weather: str


@dataclass(frozen=True, kw_only=True)
class SetClockTime:
    """Set the game's clock."""

    hour: int = 0
    minute: int = 0
    second: int = 0


Message = (
    Start
    | Config
    | Stop
    | Commands
    | StartRecording
    | StopRecording
    | GoToLocation
    | TeleportToLocation
    | SetCameraPositionAndRotation
    | CreatePed
    | CreateVehicle
    | SetWeather
    | SetClockTime
)
Settings = TypeVar("Settings", Scenario, DatasetOptions)


def changed(settings: Settings, by: Settings) -> Settings:
    """Return settings with what a config does not leave None."""
    new = {name: value for name, value in vars(by).items() if value not in (None, {})}
    return replace(settings, **new)
