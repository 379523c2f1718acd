"""What a client sends to the game: DeepGTAV's messages, and those of its forks.

In a start, None leaves a choice to the game; in a config, None keeps what was set before. Numbers
are checked against their bounds where a message is decoded, not where one is made here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct, structs

MAX_MESSAGE = 4095  # bytes: the game reads into 4096 and writes a NUL behind them
MAX_SIDE = 16384  # pixels
MAX_PIXELS = 4096 * 2304  # of one picture: its depth and stencil still fit framing.MAX_FIELDS
WEATHERS = (
    "CLEAR", "EXTRASUNNY", "CLOUDS", "OVERCAST", "RAIN", "CLEARING", "THUNDER", "SMOG", "FOGGY",
    "XMAS", "SNOWLIGHT", "BLIZZARD", "NEUTRAL", "SNOW",
)  # fmt: skip

Number = Annotated[float, Meta(ge=-1e6, le=1e6)]  # metres, m/s, degrees: the map is 12 km wide
Index = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Flags = Annotated[int, Meta(ge=-(2**31), le=2**32 - 1)]
Side = Annotated[int, Meta(ge=1, le=MAX_SIDE)]
Rate = Annotated[float, Meta(ge=0.01, le=1e4)]  # hertz
Hour = Annotated[int, Meta(ge=0, le=24)]
Sixtieth = Annotated[int, Meta(ge=0, le=60)]
Name = Annotated[str, Meta(max_length=3900)]


class Scenario(Struct, frozen=True, kw_only=True, rename={"driving_mode": "drivingMode"}):
    """Where and how the game drives; None leaves it to the game (a random place, its weather).

    Attributes:
        location: x, y and, for the forks, z and heading; metres, degrees.
        time: hour and minute. weather: one of WEATHERS. vehicle: a model's name.
        driving_mode: the game's flags and a speed in m/s; None lets the client drive by Commands.
    """

    location: Annotated[tuple[Number, ...], Meta(min_length=2, max_length=4)] | None = None
    time: tuple[Hour, Sixtieth] | None = None
    weather: Name | None = None
    vehicle: Name | None = None
    driving_mode: tuple[Flags, Number] | None = None


class DatasetOptions(
    Struct,
    frozen=True,
    kw_only=True,
    # two of these names are misspelt in the game's own code
    rename={
        "driving_mode": "drivingMode",
        "screen_resolution": "screenResolution",
        "traffic_signs": "trafficSigns",
        "yaw_rate": "yawRate",
        "start_index": "startIndex",
        "bbox2d": "exportBBox2D",
        "depth_buffer": "exportDepthBuffer",
        "stencil_buffer": "exportStencliBuffer",
    },
):
    """What the game sends; None is the game's own choice.

    Attributes:
        rate: messages a second at most. frame: width and height of the picture, of the buffers
            with the fork that has `screen_resolution`, which is then the picture's.
        direction: a place to navigate to, metres. reward: two weights.
        start_index: the first message's number.
        bbox2d, depth_buffer, stencil_buffer: of the fork that sends buffers.
        others: further keys of a fork, as they are on the wire.
    """

    rate: Rate | None = None
    frame: tuple[Side, Side] | None = None
    screen_resolution: tuple[Side, Side] | None = None
    vehicles: bool | None = None
    peds: bool | None = None
    traffic_signs: bool | None = None
    direction: tuple[Number, Number, Number] | None = None
    reward: tuple[Number, Number] | None = None
    throttle: bool | None = None
    brake: bool | None = None
    steering: bool | None = None
    speed: bool | None = None
    yaw_rate: bool | None = None
    driving_mode: bool | None = None
    location: bool | None = None
    time: bool | None = None
    start_index: Index | None = None
    bbox2d: bool | None = None
    depth_buffer: bool | None = None
    stencil_buffer: bool | None = None
    others: Mapping[str, Any] = {}

    def picture_size(self) -> tuple[int, int] | None:
        """Return width and height of the picture that these options ask for."""
        return self.screen_resolution or self.frame


class Start(Struct, frozen=True, kw_only=True):
    """Begin to send."""

    scenario: Scenario = Scenario()
    dataset: DatasetOptions = DatasetOptions()


class Config(Struct, frozen=True, kw_only=True):
    """Change what is not None."""

    scenario: Scenario = Scenario()
    dataset: DatasetOptions = DatasetOptions()


class Stop(Struct, frozen=True, kw_only=True):
    """Send no more; the connection stays."""


class Commands(Struct, frozen=True, kw_only=True):
    """Drive: throttle and brake 0..1, steering -1..1, positive to the right."""

    throttle: Number
    brake: Number
    steering: Number


class StartRecording(Struct, frozen=True, kw_only=True):
    """Grab the screen and fill in the annotations from now on (fork with buffers)."""


class StopRecording(Struct, frozen=True, kw_only=True):
    """Send stale frames and empty annotations from now on (fork with buffers)."""


class GoToLocation(Struct, frozen=True, kw_only=True):
    """Drive to a place; metres, m/s."""

    x: Number
    y: Number
    z: Number
    speed: Number = 20.0


class TeleportToLocation(Struct, frozen=True, kw_only=True):
    """Put the vehicle at a place; metres."""

    x: Number
    y: Number
    z: Number


class SetCameraPositionAndRotation(Struct, frozen=True, kw_only=True):
    """Mount the camera relative to the vehicle: x right, y forward, z up, metres and degrees."""

    x: Number = 0.0
    y: Number = 0.0
    z: Number = 0.0
    rot_x: Number = 0.0
    rot_y: Number = 0.0
    rot_z: Number = 0.0


class CreatePed(
    Struct,
    frozen=True,
    kw_only=True,
    rename={"relative_forward": "relativeForward", "relative_right": "relativeRight"},
):
    """Put a pedestrian near the vehicle; metres, degrees, the game's numbers."""

    model: Number
    relative_forward: Number
    relative_right: Number
    heading: Number
    task: Index


class CreateVehicle(
    Struct,
    frozen=True,
    kw_only=True,
    rename={"relative_forward": "relativeForward", "relative_right": "relativeRight"},
):
    """Put a vehicle near ours; metres, degrees, the game's colour numbers, -1 for any."""

    model: Name
    relative_forward: Number
    relative_right: Number
    heading: Number
    color: Index = -1
    color2: Index = -1


class SetWeather(Struct, frozen=True, kw_only=True):
    """Change the weather to one of WEATHERS."""

    weather: Name


class SetClockTime(Struct, frozen=True, kw_only=True):
    """Set the game's clock."""

    hour: Hour = 0
    minute: Sixtieth = 0
    second: Sixtieth = 0


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
    new = {name: value for name, value in structs.asdict(by).items() if value not in (None, {})}
    return structs.replace(settings, **new)
