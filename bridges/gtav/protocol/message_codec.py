"""DeepGTAV's messages as JSON, without sockets: what a client sends and a server reads.

The game reads keys without checking that they exist, so that a start and a config carry every key
that any of the forks reads, null where the choice is the game's. The types in `messages` define
what is accepted; no decoded value is infinite, out of its bounds or of another type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from realmaster_live.bridges.gtav.protocol.messages import (
    MAX_MESSAGE,
    MAX_PIXELS,
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

# keys of the forks that nothing here requests: off
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
_KINDS: Mapping[str, type[Message]] = {
    "start": Start, "config": Config, "stop": Stop, "commands": Commands,
    "StartRecording": StartRecording, "StopRecording": StopRecording,
    "GoToLocation": GoToLocation, "TeleportToLocation": TeleportToLocation,
    "SetCameraPositionAndRotation": SetCameraPositionAndRotation, "CreatePed": CreatePed,
    "CreateVehicle": CreateVehicle, "SetWeather": SetWeather, "SetClockTime": SetClockTime,
}  # fmt: skip
_NAMES = {kind: name for name, kind in _KINDS.items()}
_OWN_KEYS = {one.encode_name for one in msgspec.structs.fields(DatasetOptions)} - {"others"}


def encode_message(message: Message) -> bytes:
    """Return the JSON of a message; raise WireFormatError where the game could not read it."""
    try:
        # json refuses what msgspec would change: NaN to null, bytes to base64
        body = msgspec.to_builtins(message, builtin_types=(bytes,)) or None
        if isinstance(message, Start | Config):
            body = {"scenario": _scenario(message.scenario), "dataset": _dataset(message.dataset)}
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
        whole = msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise WireFormatError(
            f"expected a message as a JSON object, got {bytes(data[:60])!r} ({error}): "
            "connect a DeepGTAV client to this port"
        ) from error
    name = next((name for name in _KINDS if isinstance(whole, dict) and name in whole), None)
    if name is None:
        raise WireFormatError(
            f"expected one of the messages {', '.join(_KINDS)}, got {bytes(data[:60])!r}: "
            "connect a DeepGTAV client to this port"
        )
    kind, body = _KINDS[name], {} if whole[name] is None else whole[name]
    try:
        if kind is Start or kind is Config:
            body = {"scenario": _read_scenario(body), "dataset": _read_dataset(body)}
        return msgspec.convert(body, kind)
    except (ValueError, RecursionError) as error:
        raise WireFormatError(
            f"expected a {name} message of DeepGTAV's, got {bytes(data[:60])!r} ({error}): "
            "send what DeepGTAV understands"
        ) from error


def _scenario(scenario: Scenario) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(scenario)
    if scenario.location is not None:
        plain["location"] = [*scenario.location, None, None][:4]  # the forks read four of them
    if scenario.driving_mode is None:
        plain["drivingMode"] = -1
    return plain


def _dataset(dataset: DatasetOptions) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(dataset)
    others = plain.pop("others")
    if dataset.rate is not None and dataset.rate == round(dataset.rate):
        plain["rate"] = round(dataset.rate)  # the first DeepGTAV reads whole numbers only
    return {**_OFF, **plain, **others}


def _read_scenario(body: Any) -> Scenario:
    part = _part(body, "scenario")
    place = part.get("location")
    if isinstance(place, list) and None in place:
        place = place[: place.index(None)]
    mode = part.get("drivingMode")
    if isinstance(mode, int) and not isinstance(mode, bool):
        mode = None  # the game takes anything but a pair to mean that the client drives
    return msgspec.convert(
        {**part, "location": place, "time": _whole(part.get("time")), "drivingMode": mode}, Scenario
    )


def _read_dataset(body: Any) -> DatasetOptions:
    part = _part(body, "dataset")
    own = {key: value for key, value in part.items() if key in _OWN_KEYS}
    for key in ("frame", "screenResolution"):
        own[key] = _whole(own.get(key))
    others = {key: value for key, value in part.items() if key not in _OWN_KEYS and value}
    options = msgspec.convert({**own, "others": others}, DatasetOptions)
    for size in (options.frame, options.screen_resolution):
        if size is not None and size[0] * size[1] > MAX_PIXELS:
            raise ValueError(f"a picture of {size[0]}x{size[1]}, of at most {MAX_PIXELS} pixels")
    return options


def _part(body: Any, key: str) -> Mapping[str, Any]:
    """Return one of the two objects of a start or a config; empty where it is null or missing."""
    part = body.get(key) if isinstance(body, dict) else body
    if part is not None and not isinstance(part, dict):
        raise ValueError(f"expected an object for {key}")
    return part or {}


def _whole(values: Any) -> Any:
    """Return a list with whole numbers such as 320.0 as integers, anything else as it is."""
    if not isinstance(values, list):
        return values
    return [int(one) if isinstance(one, float) and one.is_integer() else one for one in values]
