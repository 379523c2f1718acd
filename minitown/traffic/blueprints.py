"""The blueprint library: the ids of CARLA that clients find, each with the model that is drawn."""

from __future__ import annotations

from collections.abc import Mapping

from realmaster_live.minitown.models.bodies import BODIES, prop_model
from realmaster_live.minitown.traffic.blueprint_attributes import (
    BOOL,
    COLOR,
    FLOAT,
    INT,
    STRING,
    Attribute,
    Blueprint,
    role,
)
from realmaster_live.minitown.traffic.blueprint_ids import (
    DOORLESS,
    PROPS,
    SECOND_GENERATION,
    SPECIAL,
    UNLIT,
    VEHICLES,
    WALKERS,
)
from realmaster_live.minitown.traffic.sensor_blueprints import NOT_DONE, sensor_blueprints

COLORS = (
    "17,37,103",
    "150,32,28",
    "214,214,210",
    "26,27,30",
    "110,114,118",
    "44,84,62",
    "196,158,60",
)
DRIVERS = ("1", "2", "3")  # of vehicles on two wheels; each is drawn with its own rider
LIGHT = "traffic.traffic_light"
SPECTATOR = "spectator"
WALKER_CONTROLLER = "controller.ai.walker"
NOT_SPAWNABLE = frozenset({LIGHT, SPECTATOR, *NOT_DONE})


def _fixed(name: str, kind: str, value: str) -> Attribute:
    return Attribute(name, kind, value, (), modifiable=False)


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _vehicle(name: str, model: str) -> Blueprint:
    body = BODIES[model]
    base = {"sedan": "car", "hatchback": "car", "suv": "car", "pickup": "truck"}.get(model, model)
    is_new = name in SECOND_GENERATION
    has_lights = is_new and name not in UNLIT
    drivers = (Attribute("driver_id", INT, DRIVERS[0], DRIVERS),) if body.wheels == 2 else ()
    return Blueprint(
        id=name,
        model=model,
        attributes=(
            Attribute("color", COLOR, COLORS[0], COLORS),
            *drivers,
            Attribute(
                "role_name", STRING, "autopilot", ("autopilot", "scenario", "ego_vehicle", "hero")
            ),
            Attribute("sticky_control", BOOL, "True", ("True", "False")),
            Attribute("terramechanics", BOOL, "false", ("false",)),
            _fixed("object_type", STRING, ""),
            _fixed("base_type", STRING, base),
            _fixed("special_type", STRING, SPECIAL.get(name, "")),
            _fixed("has_dynamic_doors", BOOL, _truth(has_lights and name not in DOORLESS)),
            _fixed("has_lights", BOOL, _truth(has_lights)),
            _fixed("generation", INT, "2" if is_new else "1"),
            _fixed("number_of_wheels", INT, str(body.wheels)),
        ),
    )


def _walker(name: str, model: str) -> Blueprint:
    gender = "female" if model in ("walker_b", "walker_d") else "male"
    return Blueprint(
        id=name,
        model=model,
        attributes=(
            role("pedestrian"),
            Attribute("is_invincible", BOOL, "true", ("true", "false")),
            Attribute("speed", FLOAT, "1.43", ("0.0", "1.43", "2.35")),
            _fixed("gender", STRING, gender),
            _fixed("age", STRING, "adult"),
            _fixed("generation", INT, "2"),
            _fixed("can_use_wheelchair", BOOL, "false"),
            Attribute("use_wheelchair", BOOL, "false", ("false", "true")),  # never drawn
        ),
    )


def _prop(name: str, size: str) -> Blueprint:
    attributes = (role("prop"), _fixed("size", STRING, size))
    return Blueprint(id=name, model=prop_model(size), attributes=attributes)


def _friction() -> Blueprint:
    extents = (Attribute(f"extent_{axis}", FLOAT, "1.0", ("1.0",)) for axis in "xyz")
    friction = Attribute("friction", FLOAT, "3.5", ("3.5",))
    return Blueprint(id="static.trigger.friction", attributes=(friction, *extents, role("default")))


LIBRARY: Mapping[str, Blueprint] = {
    blueprint.id: blueprint
    for blueprint in (
        *(_vehicle(name, model) for name, model in VEHICLES.items()),
        *(_walker(name, model) for name, model in WALKERS.items()),
        *(_prop(name, size) for name, size in PROPS.items()),
        *sensor_blueprints(),
        _friction(),
        Blueprint(id=WALKER_CONTROLLER, attributes=(role("default"),)),
        Blueprint(id=LIGHT, model="traffic_light"),
        Blueprint(id=SPECTATOR),
    )
}
