"""SourceInfo: what a source is, as a recording remembers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from realmaster_live.frames.weather import in_words

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
        fov_deg: field of view along `fov_axis`, degrees; None where nothing says it.
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

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> CameraInfo:
        """Return what `as_json` or an earlier release wrote."""
        known = {one.name for one in fields(cls)}
        values = {name: value for name, value in content.items() if name in known}
        if "vertical_fov_deg" in content:
            values |= {"fov_deg": content["vertical_fov_deg"], "fov_axis": "vertical"}
        actor = content.get("actor") or content
        values["actor"] = _actor(actor) if "id" in actor else None
        values["labels"] = tuple(content.get("labels") or ())
        pose = content.get("cam_to_ego")
        values["cam_to_ego"] = None if pose is None else tuple(tuple(row) for row in pose)
        return cls(**values)


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
        cameras: by name, in the order of their frames.
        near_m: near clip of the camera, metres, that depth was computed with; None where depth
            needs none, or none was computed yet. near_is_default: nobody said it, so it was the
            simulator's usual one.
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

    def __post_init__(self) -> None:
        """Name the town by its map where it has no name of its own."""
        object.__setattr__(self, "town", town_of(self.town or self.map))

    @property
    def weather_words(self) -> str:
        """The weather in words such as "night rain"; "" where it is unknown."""
        return in_words(self.weather)

    def with_details(self, **more: Any) -> SourceInfo:
        """Return this with more details."""
        return replace(self, details={**self.details, **more})

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> SourceInfo:
        """Return what `as_json` gave, or what an earlier release or a sidecar file says.

        Keys that are no field become details.
        """
        known = {one.name for one in fields(cls)}
        values = {name: value for name, value in content.items() if name in known}
        details = {name: value for name, value in content.items() if name not in known | _EARLIER}
        cameras = content.get("cameras") or {}
        if not cameras and isinstance(content.get("camera"), Mapping):
            cameras = {"front": content["camera"]}
        values["cameras"] = {name: CameraInfo.of(camera) for name, camera in cameras.items()}
        ego = content.get("ego")
        values["ego"] = _actor(ego) if isinstance(ego, Mapping) else None
        values["details"] = {**details, **(content.get("details") or {})}
        for name in ("map", "town", "route", "licence"):
            values[name] = str(content.get(name) or "")
        values["weather"] = content.get("weather") or ""
        if "ticked_by" not in content and "we_tick" in content:
            others: TickedBy = "another client" if content.get("synchronous") else "nobody"
            values["ticked_by"] = "us" if content["we_tick"] else others
        if "fps" not in content and content.get("fixed_delta_s"):
            values["fps"] = 1.0 / float(content["fixed_delta_s"])
        return cls(**values)


# keys of version 2 that are told otherwise now
_EARLIER = {"camera", "labels", "we_tick", "synchronous", "fixed_delta_s"}


def town_of(map_name: str) -> str:
    """Return the town of a map's name: "Carla/Maps/Town10HD_Opt" is Town10HD."""
    return map_name.rpartition("/")[2].removesuffix(OPTIMIZED)


def _actor(content: Mapping[str, Any]) -> ActorInfo:
    return ActorInfo(
        id=int(content["id"]),
        type=str(content.get("type", "")),
        role_name=str(content.get("role_name", "")),
    )
