"""What a blueprint is: an id, a model, and attributes."""

from __future__ import annotations

from dataclasses import dataclass

BOOL, INT, FLOAT, STRING, COLOR = "bool", "int", "float", "string", "color"


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


def role(value: str) -> Attribute:
    """Return the attribute that names what an actor is there for."""
    return Attribute("role_name", STRING, value, (value,))
