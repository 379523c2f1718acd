"""What differs between CARLA versions on the wire, in one table.

A client and a server of different layouts crash each other, so the versions are never mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from realmaster_live.errors import ConfigError

_SENSORS = (
    "collision", "depth", "normals", "dvs", "gnss", "imu", "lane_invasion", "obstacle",
    "optical_flow", "radar", "semantic_lidar", "lidar", "rss", "rgb", "semantic_segmentation",
    "instance_segmentation",
)  # fmt: skip
_ATTRIBUTE_KINDS = ("bool", "int", "float", "string", "color")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One release's layouts.

    Attributes:
        sensors: names in the order of their type ids. first_attribute: number of the kind "bool".
        box_has_actor: a bounding box ends with its actor's id. spawn_has_socket: spawning with a
            parent names a socket, and a SpawnActor command carries attachment and socket.
        transverse: GNSS is a transverse Mercator of scale 0.9996 with CARLA's y to the north (so
            does this release), otherwise a Mercator with CARLA's y to the south.
    """

    version: str
    sensors: tuple[str, ...]
    first_attribute: int
    box_has_actor: bool
    spawn_has_socket: bool
    transverse: bool
    sensor_ids: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ids = {name: number for number, name in enumerate(self.sensors)}
        object.__setattr__(self, "sensor_ids", ids)

    def attribute_kind(self, kind: str) -> int:
        """Return the number of an attribute's type."""
        return self.first_attribute + _ATTRIBUTE_KINDS.index(kind)


LAYOUTS: Mapping[str, Layout] = {
    layout.version: layout
    for layout in (
        Layout(
            version="0.9.15",
            sensors=(*_SENSORS, "world_observer", "gbuffer_u8", "gbuffer_float"),
            first_attribute=0,
            box_has_actor=False,
            spawn_has_socket=False,
            transverse=False,
        ),
        Layout(
            version="0.9.16",
            sensors=(
                *_SENSORS, "cosmos", "world_observer", "gbuffer_u8", "gbuffer_float", "v2x",
                "v2x_custom",
            ),
            first_attribute=1,
            box_has_actor=True,
            spawn_has_socket=True,
            transverse=True,
        ),
    )
}  # fmt: skip


def layout_of(version: str) -> Layout:
    """Return the layout of a CARLA release; raise ConfigError when it is not known."""
    try:
        return LAYOUTS[version]
    except KeyError:
        raise ConfigError(
            f"expected a CARLA version of {', '.join(LAYOUTS)}, got {version!r}: "
            "use the simulator and the carla package of one of these"
        ) from None
