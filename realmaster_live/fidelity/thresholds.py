"""Thresholds that the scores of a picture must reach to pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from realmaster_live.errors import ConfigError
from realmaster_live.frames.trust import FrameTrust, InstanceTrust

RELAXATION = 0.75  # factor on all thresholds under a prompt for another weather


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The lowest scores that pass, from 0 to 1; 0 disables a score.

    Attributes:
        edges, depth_order, semantics, boxes, lights: thresholds for a picture.
        thing_edges, thing_semantics: thresholds for every object in it.
        min_pixels: objects of fewer pixels are not judged.
    """

    edges: float = 0.75
    depth_order: float = 0.7
    semantics: float = 0.5
    boxes: float = 0.5
    lights: float = 0.5
    thing_edges: float = 0.4
    thing_semantics: float = 0.0
    min_pixels: int = 80

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "min_pixels":
                if value < 1:
                    raise ConfigError(f"expected min_pixels of 1 or more, got {value}: 80 is usual")
            elif not 0 <= value <= 1:
                raise ConfigError(
                    f"expected a threshold {field.name} from 0 to 1, got {value}: 0 switches it off"
                )

    def relaxed(self) -> Thresholds:
        """Return lower thresholds, for weather or darkness that the simulator did not render."""
        shares = [field.name for field in fields(self) if field.name != "min_pixels"]
        return replace(self, **{name: RELAXATION * getattr(self, name) for name in shares})

    def failures(self, trust: FrameTrust) -> tuple[str, ...]:
        """Return the names of the scores and objects that fail; NaN never fails."""
        return tuple(_failing(self, trust))

    def thing_fails(self, thing: InstanceTrust) -> bool:
        """Return whether an object lost too much of its outline, look or light."""
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


DEFAULT_THRESHOLDS = Thresholds()
JUDGE_THRESHOLDS = replace(
    DEFAULT_THRESHOLDS, semantics=0.8, thing_semantics=0.15
)  # with a judge network
