"""The blueprint library: which CARLA ids the town can spawn, and as what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from realmaster_live.minitown.models.bodies import BODIES

BOOL, INT, FLOAT, STRING, COLOR = "bool", "int", "float", "string", "color"

VEHICLES: Mapping[str, str] = {
    "vehicle.tesla.model3": "sedan",
    "vehicle.lincoln.mkz_2020": "sedan",
    "vehicle.audi.a2": "hatchback",
    "vehicle.mini.cooper_s": "hatchback",
    "vehicle.nissan.micra": "hatchback",
    "vehicle.nissan.patrol": "suv",
    "vehicle.jeep.wrangler_rubicon": "suv",
    "vehicle.audi.etron": "suv",
    "vehicle.mercedes.sprinter": "van",
    "vehicle.volkswagen.t2": "van",
    "vehicle.tesla.cybertruck": "pickup",
    "vehicle.carlamotors.carlacola": "truck",
    "vehicle.mitsubishi.fusorosa": "bus",
    "vehicle.kawasaki.ninja": "motorcycle",
    "vehicle.yamaha.yzf": "motorcycle",
    "vehicle.diamondback.century": "bicycle",
    "vehicle.bh.crossbike": "bicycle",
}
WALKERS: Mapping[str, str] = {
    f"walker.pedestrian.{n + 1:04d}": f"walker_{'abcd'[n % 4]}" for n in range(16)
}
COLORS = (
    "17,37,103",
    "150,32,28",
    "214,214,210",
    "26,27,30",
    "110,114,118",
    "44,84,62",
    "196,158,60",
)
CAMERAS = ("rgb", "depth", "semantic_segmentation", "instance_segmentation", "optical_flow")
LIGHT = "traffic.traffic_light"
SPECTATOR = "spectator"
LANE_INVASION = "sensor.other.lane_invasion"  # made by the client itself: never streamed
NOT_SPAWNABLE = frozenset({LIGHT, SPECTATOR})


@dataclass(frozen=True)
class Attribute:
    """One attribute of a blueprint; `kind` names the type, the wire's number is per version."""

    id: str
    kind: str
    value: str
    recommended: tuple[str, ...] = ()
    modifiable: bool = True
    restricted: bool = False


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """Something `spawn` can make: `model` is what is drawn, "" for what is never seen."""

    id: str
    model: str = ""
    attributes: tuple[Attribute, ...] = ()

    @property
    def tags(self) -> str:
        """The id's parts as CARLA lists them."""
        return ",".join(self.id.split("."))


def _role(value: str) -> Attribute:
    return Attribute("role_name", STRING, value, (value,))


def _fixed(name: str, kind: str, value: str) -> Attribute:
    return Attribute(name, kind, value, (), modifiable=False)


def _vehicle(name: str, model: str) -> Blueprint:
    body = BODIES[model]
    base = {"sedan": "car", "hatchback": "car", "suv": "car", "pickup": "truck"}.get(model, model)
    return Blueprint(
        id=name,
        model=model,
        attributes=(
            Attribute("color", COLOR, COLORS[0], COLORS),
            Attribute(
                "role_name", STRING, "autopilot", ("autopilot", "scenario", "ego_vehicle", "hero")
            ),
            Attribute("sticky_control", BOOL, "True", ("True", "False")),
            _fixed("object_type", STRING, ""),
            _fixed("base_type", STRING, base),
            _fixed("special_type", STRING, ""),
            _fixed("has_lights", BOOL, "true" if body.wheels == 4 else "false"),
            _fixed("generation", INT, "2"),
            _fixed("number_of_wheels", INT, str(body.wheels)),
        ),
    )


def _walker(name: str, model: str) -> Blueprint:
    gender = "female" if model in ("walker_b", "walker_d") else "male"
    return Blueprint(
        id=name,
        model=model,
        attributes=(
            _role("pedestrian"),
            Attribute("is_invincible", BOOL, "true", ("true", "false")),
            Attribute("speed", FLOAT, "1.43", ("0.0", "1.43", "2.35")),
            _fixed("gender", STRING, gender),
            _fixed("age", STRING, "adult"),
            _fixed("generation", INT, "2"),
        ),
    )


def _camera(kind: str) -> Blueprint:
    lens = {
        "lens_circle_multiplier": "0.0", "lens_circle_falloff": "5.0", "lens_k": "-1.0",
        "lens_kcube": "0.0", "lens_x_size": "0.08", "lens_y_size": "0.08",
    }  # fmt: skip
    film = {
        "gamma": "2.2", "iso": "100.0", "fstop": "1.4", "shutter_speed": "200.0",
        "motion_blur_intensity": "0.45", "bloom_intensity": "0.675", "exposure_compensation": "0.0",
    }  # fmt: skip
    extra = {**lens, **(film if kind == "rgb" else {})}
    switches = ("enable_postprocess_effects",) if kind == "rgb" else ()
    modes = ("exposure_mode",) if kind == "rgb" else ()
    return Blueprint(
        id=f"sensor.camera.{kind}",
        attributes=(
            Attribute("image_size_x", INT, "800", ("800",)),
            Attribute("image_size_y", INT, "600", ("600",)),
            Attribute("fov", FLOAT, "90.0", ("90.0",)),
            Attribute("sensor_tick", FLOAT, "0.0", ("0.0",)),
            *(Attribute(name, FLOAT, value, (value,)) for name, value in extra.items()),
            *(Attribute(name, BOOL, "True", ("True", "False")) for name in switches),
            *(Attribute(name, STRING, "histogram", ("histogram", "manual")) for name in modes),
            _role("front"),
        ),
    )


def _other(name: str, *floats: str) -> Blueprint:
    return Blueprint(
        id=name,
        attributes=(_role("default"), *(Attribute(n, FLOAT, "0.0", ("0.0",)) for n in floats)),
    )


LIBRARY: Mapping[str, Blueprint] = {
    blueprint.id: blueprint
    for blueprint in (
        *(_vehicle(name, model) for name, model in VEHICLES.items()),
        *(_walker(name, model) for name, model in WALKERS.items()),
        *(_camera(kind) for kind in CAMERAS),
        _other("sensor.other.collision"),
        _other("sensor.other.gnss", "sensor_tick"),
        _other("sensor.other.imu", "sensor_tick"),
        _other(LANE_INVASION),
        Blueprint(id=LIGHT, model="traffic_light"),
        Blueprint(id=SPECTATOR),
    )
}
