"""Which of a program's cameras are realized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from realmaster_live.errors import ConfigError

PICTURE_SENSOR = "sensor.camera.rgb"


@dataclass(frozen=True, kw_only=True)
class CameraChoice:
    """Rules for colour cameras; the empty ones choose all.

    Attributes:
        roles: role names, one of which the camera must have.
        sizes: (width, height) in pixels, one of which the camera must have.
        count: how many cameras at most, those that listen first.
    """

    roles: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    count: int | None = None

    def __post_init__(self) -> None:
        """Check the count; raises ConfigError."""
        if self.count is not None and self.count < 1:
            raise ConfigError(f"expected 1 or more cameras, got {self.count}: or leave it out")

    def fits(self, type_id: str, attributes: Mapping[str, str]) -> bool:
        """Return whether a sensor's type and attributes satisfy roles and sizes."""
        return (
            type_id == PICTURE_SENSOR
            and (not self.roles or attributes.get("role_name", "") in self.roles)
            and (not self.sizes or picture_size(attributes) in self.sizes)
        )

    def has_room(self, chosen: int) -> bool:
        """Return whether one more camera fits beside those that are chosen already."""
        return self.count is None or chosen < self.count


def picture_size(attributes: Mapping[str, str]) -> tuple[int, int]:
    """Return the width and height in pixels of a camera with these attributes."""
    return int(attributes.get("image_size_x", 0)), int(attributes.get("image_size_y", 0))
