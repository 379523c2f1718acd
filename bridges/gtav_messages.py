"""What a client says to the game: DeepGTAV's messages, and those of its forks, as JSON.

The game reads keys without looking whether they are there, so that every message carries all of
them: null leaves a choice to the game at the start and keeps it in a config.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from realmaster_live.errors import WireFormatError

MAX_MESSAGE = 4095  # bytes: the game reads into 4096 and writes a NUL behind them
MAX_SIDE = 16384  # pixels
WEATHERS = (
    "CLEAR", "EXTRASUNNY", "CLOUDS", "OVERCAST", "RAIN", "CLEARING", "THUNDER", "SMOG", "FOGGY",
    "XMAS", "SNOWLIGHT", "BLIZZARD", "NEUTRAL", "SNOW",
)  # fmt: skip
# the keys that are not named as our fields are; two of them are misspelt in the game's own code
_KEYS = {
    "driving_mode": "drivingMode",
    "screen_resolution": "screenResolution",
    "traffic_signs": "trafficSigns",
    "yaw_rate": "yawRate",
    "start_index": "startIndex",
    "bbox2d": "exportBBox2D",
    "depth_buffer": "exportDepthBuffer",
    "stencil_buffer": "exportStencliBuffer",
    "relative_forward": "relativeForward",
    "relative_right": "relativeRight",
}
# the keys of the forks that nothing here asks for: off
_OFF: Mapping[str, bool | None] = {
    "offscreen": False,
    "showBoxes": False,
    "pointclouds": False,
    "stationaryScene": False,
    "vehiclesToCreate": None,
    "pedsToCreate": None,
    "lidarParam": None,
    "collectTracking": False,
    "recordScenario": False,
    "positionScenario": False,
    "exportBBox2DUnprocessed": False,
    "occlusionImage": False,
    "unusedStencilIPixelmage": False,
    "segmentationImage": False,
    "instanceSegmentationImage": False,
    "instanceSegmentationImageColor": False,
    "exportLiDAR": False,
    "exportLiDARRaycast": False,
    "maxLidarDist": None,
    "export2DPointmap": False,
    "exportSome2DPointmapText": False,
    "exportLiDARDepthStats": False,
    "exportStencilImage": False,
    "exportIndividualStencilImages": False,
}


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
    """Drive: throttle and brake 0..1, steering -1..1, positive to the left as the game has it."""

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
_NAMES: Mapping[type[Message], str] = {
    Start: "start",
    Config: "config",
    Stop: "stop",
    Commands: "commands",
} | {
    kind: kind.__name__
    for kind in (
        StartRecording, StopRecording, GoToLocation, TeleportToLocation,
        SetCameraPositionAndRotation, CreatePed, CreateVehicle, SetWeather, SetClockTime,
    )
}  # fmt: skip
_KINDS = {name: kind for kind, name in _NAMES.items()}
Settings = TypeVar("Settings", Scenario, DatasetOptions)


def encode_message(message: Message) -> bytes:
    """Return the JSON of a message; raise WireFormatError where the game could not read it."""
    body: object
    if isinstance(message, Start | Config):
        body = {"scenario": _scenario(message.scenario), "dataset": _dataset(message.dataset)}
    else:
        body = _plain(message) or None
    try:
        data = json.dumps({_NAMES[type(message)]: body}, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise WireFormatError(
            f"expected a message of finite numbers and text, got {message} ({error}): "
            "give other values"
        ) from error
    if len(data) > MAX_MESSAGE:
        raise WireFormatError(
            f"expected a message of at most {MAX_MESSAGE} bytes, which is the game's buffer, got "
            f"{len(data)}: ask for less at once"
        )
    return data


def decode_message(data: bytes | bytearray | memoryview) -> Message:
    """Return a client's message; raise WireFormatError for anything else."""
    try:
        whole = json.loads(str(data, "utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise WireFormatError(
            f"expected a message as a JSON object, got {bytes(data[:60])!r} ({error}): "
            "connect a DeepGTAV client to this port"
        ) from error
    known = [name for name in _KINDS if isinstance(whole, dict) and name in whole]
    if not known:
        raise WireFormatError(
            f"expected one of the messages {', '.join(_KINDS)}, got {bytes(data[:60])!r}: "
            "connect a DeepGTAV client to this port"
        )
    kind, body = _KINDS[known[0]], whole[known[0]] or {}
    if not isinstance(body, dict):
        raise _wrong(known[0], "an object", body)
    if kind is Start or kind is Config:
        return kind(
            scenario=_read_scenario(body.get("scenario") or {}),
            dataset=_read_dataset(body.get("dataset") or {}),
        )
    return kind(**_arguments(kind, body))


def changed(settings: Settings, by: Settings) -> Settings:
    """Return settings with what a config does not leave None."""
    new = {name: value for name, value in vars(by).items() if value not in (None, {})}
    return replace(settings, **new)


def _plain(message: object) -> dict[str, Any]:
    return {_KEYS.get(name, name): value for name, value in vars(message).items()}


def _scenario(scenario: Scenario) -> dict[str, Any]:
    place = scenario.location
    padded = None if place is None else [*place, None, None][:4]  # the forks read four of them
    mode = -1 if scenario.driving_mode is None else scenario.driving_mode
    return _plain(scenario) | {"location": padded, "drivingMode": mode}


def _dataset(dataset: DatasetOptions) -> dict[str, Any]:
    plain = _plain(dataset)
    others = plain.pop("others")
    if dataset.rate is not None and dataset.rate == round(dataset.rate):
        plain["rate"] = round(dataset.rate)  # the first DeepGTAV reads whole numbers only
    return {**_OFF, **plain, **others}


def _read_scenario(body: Any) -> Scenario:
    if not isinstance(body, dict):
        raise _wrong("scenario", "an object", body)
    mode = body.get("drivingMode")
    place = _numbers(body, "location", (2, 3, 4), holes=True)
    time = _numbers(body, "time", (2,))
    drive = _numbers({"drivingMode": None if mode == -1 else mode}, "drivingMode", (2,))
    return Scenario(
        location=place,
        time=None if time is None else (int(time[0]), int(time[1])),
        weather=_optional(body, "weather", str),
        vehicle=_optional(body, "vehicle", str),
        driving_mode=None if drive is None else (int(drive[0]), drive[1]),
    )


def _read_dataset(body: Any) -> DatasetOptions:
    if not isinstance(body, dict):
        raise _wrong("dataset", "an object", body)
    told: dict[str, Any] = {}
    names = {_KEYS.get(one.name, one.name): one.name for one in fields(DatasetOptions)}
    for key, name in names.items():
        if name in ("frame", "screen_resolution"):
            told[name] = _size(body, key)
        elif name == "direction":
            told[name] = _numbers(body, key, (3,))
        elif name == "reward":
            told[name] = _numbers(body, key, (2,))
        elif name == "rate":
            told[name] = _rate(body)
        elif name != "others":
            told[name] = _optional(body, key, int if name == "start_index" else bool)
    others = {key: value for key, value in body.items() if key not in names and value}
    return DatasetOptions(**told, others=others)


def _rate(body: Mapping[str, Any]) -> float | None:
    rate = body.get("rate")
    if rate is None:
        return None
    if not _is_number(rate) or rate <= 0:
        raise _wrong("rate", "a positive number", rate)
    return float(rate)


def _size(body: Mapping[str, Any], key: str) -> tuple[int, int] | None:
    numbers = _numbers(body, key, (2,))
    if numbers is None:
        return None
    if not all(number == int(number) and 1 <= number <= MAX_SIDE for number in numbers):
        raise _wrong(key, f"two whole numbers of 1 to {MAX_SIDE} pixels", body[key])
    return int(numbers[0]), int(numbers[1])


def _numbers(
    body: Mapping[str, Any], key: str, lengths: tuple[int, ...], *, holes: bool = False
) -> tuple[float, ...] | None:
    value = body.get(key)
    if value is None:
        return None
    numbers = value
    if holes and isinstance(value, list):
        numbers = value[: next((n for n, one in enumerate(value) if one is None), len(value))]
    if (
        not isinstance(numbers, list)
        or len(numbers) not in lengths
        or not all(map(_is_number, numbers))
    ):
        raise _wrong(key, f"{' or '.join(map(str, lengths))} numbers", value)
    return tuple(map(float, numbers))


def _optional(body: Mapping[str, Any], key: str, kind: type) -> Any:
    value = body.get(key)
    if value is not None and (type(value) is not kind):
        raise _wrong(key, f"a value of type {kind.__name__}", value)
    return value


def _arguments(kind: type[Message], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a message of numbers and text."""
    told: dict[str, Any] = {}
    for one in fields(kind):
        key = _KEYS.get(one.name, one.name)
        value = body.get(key)
        is_float = one.type == "float"
        if not (_is_number(value) if is_float else type(value).__name__ == one.type):
            raise _wrong(f"{_NAMES[kind]}.{key}", f"a value of type {one.type}", value)
        told[one.name] = float(value) if is_float else value  # type: ignore[arg-type]
    return told


def _is_number(value: object) -> bool:
    """Say whether a value is a number that fits a double."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < 1e300 and math.isfinite(value)


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _wrong(key: str, expected: str, got: object) -> WireFormatError:
    return WireFormatError(
        f"expected {expected} for {key}, got {repr(got)[:80]}: send what DeepGTAV understands"
    )
