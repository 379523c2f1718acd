"""DeepGTAV's messages as JSON, without sockets: what a client sends and a server reads.

The game reads keys without looking whether they are there, so that a start and a config carry all
that any of the forks reads, null where the choice is the game's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from realmaster_live.bridges.gtav.protocol.messages import (
    MAX_MESSAGE,
    Commands,
    Config,
    CreatePed,
    CreateVehicle,
    DatasetOptions,
    GoToLocation,
    Message,
    Scenario,
    SetCameraPositionAndRotation,
    SetClockTime,
    SetWeather,
    Start,
    StartRecording,
    Stop,
    StopRecording,
    TeleportToLocation,
)
from realmaster_live.errors import WireFormatError

MAX_SIDE = 16384  # pixels
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
        whole = _JSON.decode(str(data, "utf-8"))
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


_JSON = json.JSONDecoder(parse_constant=_refuse)  # a new one a message is garbage of cycles
