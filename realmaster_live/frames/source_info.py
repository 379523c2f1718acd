"""SourceInfo: what a source is, as a recording remembers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from realmaster_live.frames.weather import describe_weather

Axis = Literal["horizontal", "vertical"]
TickedBy = Literal["", "us", "another client", "nobody"]
OPTIMIZED = "_Opt"  # in the names of CARLA's maps with layers: the same towns


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorInfo:
    """An actor of a CARLA world: its id, type and role name."""

    id: int
    type: str = ""
    role_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraInfo:
    """One camera of a source.

    Attributes:
        width, height: pixels.
        fov_deg: field of view along `fov_axis`, degrees; None where it is unknown.
        labels: names of the labels that come with its pictures.
        mount: where it sits on its vehicle, in the fields of `rig.Mount`; None where unknown.
        lens: the simulator's own lens attributes by name.
        cam_to_ego: four rows of four numbers, metres, the camera's axes to its vehicle's.
        actor: the simulator's own, where there is one.
    """

    width: int
    height: int
    fov_deg: float | None = None
    fov_axis: Axis = "horizontal"
    labels: tuple[str, ...] = ()
    mount: Mapping[str, float] | None = None
    lens: Mapping[str, float] = field(default_factory=dict)
    cam_to_ego: tuple[tuple[float, ...], ...] | None = None
    actor: ActorInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorInfo:
    """One sensor of a source besides its cameras.

    Attributes:
        kind: "imu", "gnss", "lidar" and so on. type: the simulator's own name of it.
        attributes: the simulator's own, by name.
        sensor_to_ego: four rows of four numbers, metres, the sensor's axes (x forward, y left, z
            up) to its vehicle's.
    """

    kind: str
    type: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    sensor_to_ego: tuple[tuple[float, ...], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """What a source is and does; complete once the source is closed.

    Attributes:
        simulator: "carla", "gtav", "video", "pictures" and so on.
        server: its address. server_version, client_version: of a simulator with both.
        map: the simulator's own name of the map. town: what data sets are split by; taken from
            `map` where it is not given. Maps with and without `_Opt` are one town.
        route: a name of the drive's way through the town. seed: of the town or the scenario.
        weather: in words, or the simulator's own parameters by name.
        licence: of what the source gives.
        cameras: by name, in the order of their frames. sensors: the others, by name.
        near_m: near clip of the camera, metres, that depth was computed with; None where depth
            needs none, or none was computed yet. near_is_default: nobody gave it, so the
            simulator's usual one was taken.
        ticked_by: who advances the simulation: we, another client, or nobody (it runs freely).
        fps: frames a second of the simulation clock; None where the simulator chooses.
        ego: the vehicle that carries the cameras.
        object_range_m: how far objects are reported, metres; None where none are.
        counts: what was received and lost so far, by the source's own names.
        details: whatever else is known of the source, as JSON values.
    """

    simulator: str = ""
    server: str = ""
    server_version: str = ""
    client_version: str = ""
    map: str = ""
    town: str = ""
    route: str = ""
    seed: int | None = None
    weather: str | Mapping[str, float] = ""
    licence: str = ""
    cameras: Mapping[str, CameraInfo] = field(default_factory=dict)
    near_m: float | None = None
    near_is_default: bool = False
    ticked_by: TickedBy = ""
    fps: float | None = None
    ego: ActorInfo | None = None
    object_range_m: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    sensors: Mapping[str, SensorInfo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Name the town by its map where it has no name of its own."""
        object.__setattr__(self, "town", town_of(self.town or self.map))

    @property
    def weather_words(self) -> str:
        """The weather in words such as "night rain"; "" where it is unknown."""
        return describe_weather(self.weather)

    def in_conditions(self, town: str, weather: str) -> SourceInfo:
        """Return a copy with a town and a weather in words, or this one if it has both already."""
        if town == self.town:
            same = weather == self.weather_words  # its parameters, if any, are more precise
            return self if same else replace(self, weather=weather)
        return replace(self, map="", town=town, weather=weather)

    def with_details(self, **more: Any) -> SourceInfo:
        """Return this with more details."""
        return replace(self, details={**self.details, **more})

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> SourceInfo:
        """Return what `as_json` gave, or what an earlier release or a sidecar file says."""
        values = upgraded(content)
        values["ego"] = _actor(values.get("ego"))
        values["cameras"] = {
            name: CameraInfo(
                **{
                    **camera,
                    "labels": tuple(camera.get("labels", ())),
                    "cam_to_ego": _rows(camera.get("cam_to_ego")),
                    "actor": _actor(camera.get("actor")),
                }
            )
            for name, camera in values.get("cameras", {}).items()
        }
        values["sensors"] = {
            name: SensorInfo(**{**sensor, "sensor_to_ego": _rows(sensor.get("sensor_to_ego"))})
            for name, sensor in values.get("sensors", {}).items()
        }
        return cls(**values)


def upgraded(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON values of a SourceInfo under the names of its fields.

    Names that are no field become details: an earlier release had one free mapping.
    """
    cameras = content.get("cameras") or {}
    if not cameras and isinstance(content.get("camera"), Mapping):
        cameras = {"front": content["camera"]}
    if isinstance(cameras, Mapping):
        cameras = {name: _upgraded_camera(camera) for name, camera in cameras.items()}
    given: dict[str, Any] = {**content, "cameras": cameras}
    if "ticked_by" not in content and "we_tick" in content:
        others: TickedBy = "another client" if content.get("synchronous") else "nobody"
        given["ticked_by"] = "us" if content["we_tick"] else others
    step_s = content.get("fixed_delta_s")
    if "fps" not in content and isinstance(step_s, float) and step_s > 0:
        given["fps"] = 1.0 / step_s
    details = given.pop("details", None)
    values: dict[str, Any] = {"details": dict(details) if isinstance(details, Mapping) else {}}
    for name, value in given.items():
        if name in _FIELDS and _fits(name, value):
            values[name] = value
        elif value is not None and name not in _EARLIER:
            values["details"].setdefault(name, value)
    return values


def _fits(name: str, value: Any) -> bool:
    """Return whether a JSON value is of the type of a field; a free mapping may hold any."""
    numbers = (int, float)
    match name:
        case "seed":
            return isinstance(value, int)
        case "near_m" | "fps" | "object_range_m":
            return isinstance(value, numbers)
        case "near_is_default":
            return isinstance(value, bool)
        case "ticked_by":
            return value in get_args(TickedBy)
        case "weather" if isinstance(value, Mapping):
            return all(isinstance(one, numbers) for one in value.values())
        case "counts":
            return isinstance(value, Mapping) and all(isinstance(n, int) for n in value.values())
        case "ego":
            return isinstance(value, Mapping) and isinstance(value.get("id"), int)
        case "cameras":
            return isinstance(value, Mapping) and all(
                isinstance(one, Mapping) and isinstance(one.get("width"), int)
                for one in value.values()
            )
        case "sensors":
            return isinstance(value, Mapping) and all(
                isinstance(one, Mapping)
                and isinstance(one.get("kind"), str)
                and one.keys() <= _OF_SENSOR
                for one in value.values()
            )
    return isinstance(value, str)


_FIELDS = {one.name for one in fields(SourceInfo)}
# names of version 2 whose content other fields hold now
_EARLIER = {"camera", "labels", "we_tick", "synchronous", "fixed_delta_s"}
_OF_SENSOR = {one.name for one in fields(SensorInfo)}
_OF_CAMERA = {one.name for one in fields(CameraInfo)}


def _upgraded_camera(content: Any) -> Any:
    if not isinstance(content, Mapping):
        return content
    values = {name: content[name] for name in _OF_CAMERA if name in content}
    if "vertical_fov_deg" in content:
        values |= {"fov_deg": content["vertical_fov_deg"], "fov_axis": "vertical"}
    if "actor" not in content and "id" in content:
        names = ("id", "type", "role_name")
        values["actor"] = {name: content[name] for name in names if name in content}
    return values


def town_of(map_name: str) -> str:
    """Return the town of a map's name: "Carla/Maps/Town10HD_Opt" is Town10HD."""
    return map_name.rpartition("/")[2].removesuffix(OPTIMIZED)


def _actor(content: Mapping[str, Any] | None) -> ActorInfo | None:
    return None if content is None else ActorInfo(**content)


def _rows(pose: Any) -> tuple[tuple[float, ...], ...] | None:
    return None if pose is None else tuple(tuple(row) for row in pose)
