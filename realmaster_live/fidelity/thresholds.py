"""Thresholds of the scores from which a picture passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from realmaster_live.errors import ConfigError
from realmaster_live.frames.trust import FrameTrust, InstanceTrust

EASED = 0.75  # of every threshold is left where a prompt wants another weather


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The least scores that pass; 0 switches one off.

    Attributes:
        edges, depth_order, semantics, boxes, lights: of a picture.
        thing_edges, thing_semantics: of every thing in it.
        least_px: things of fewer pixels are not judged.
    """

    edges: float = 0.75
    depth_order: float = 0.7
    semantics: float = 0.5
    boxes: float = 0.5
    lights: float = 0.5
    thing_edges: float = 0.4
    thing_semantics: float = 0.0
    least_px: int = 80

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "least_px":
                if value < 1:
                    raise ConfigError(f"expected least_px of 1 or more, got {value}: 80 is usual")
            elif not 0 <= value <= 1:
                raise ConfigError(
                    f"expected a threshold {field.name} from 0 to 1, got {value}: 0 switches it off"
                )

    def eased(self) -> Thresholds:
        """Return lower thresholds, for weather or night that the simulator did not render."""
        shares = [field.name for field in fields(self) if field.name != "least_px"]
        return replace(self, **{name: EASED * getattr(self, name) for name in shares})

    def failures(self, trust: FrameTrust) -> tuple[str, ...]:
        """Return the names of what fails in a picture; NaN never does."""
        return tuple(_failing(self, trust))

    def thing_fails(self, thing: InstanceTrust) -> bool:
        """Return whether a thing keeps too little of its outline, look or colour."""
        return (
            thing.edges < self.thing_edges
            or thing.semantics < self.thing_semantics
            or thing.light < self.lights
        )


def _failing(limits: Thresholds, trust: FrameTrust) -> Iterator[str]:
    for name in ("edges", "depth_order", "semantics", "boxes", "lights"):
        if getattr(trust, name) < getattr(limits, name):
            yield name
    for thing in trust.instances:
        if limits.thing_fails(thing):
            yield f"thing {thing.mask_id}"


USUAL = Thresholds()
JUDGED = replace(USUAL, semantics=0.8, thing_semantics=0.15)  # where a network names classes
