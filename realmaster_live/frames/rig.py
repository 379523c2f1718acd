"""The cameras of a vehicle: where each one sits and what it sees, read from a TOML file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError, reason
from realmaster_live.frames.chunk import LABEL_DTYPES
from realmaster_live.frames.rig_sensors import Place, RigSensor
from realmaster_live.system.texts import read_toml

DEFAULT_LABELS = ("depth", "semantic", "instance")
MOST_SUPERSAMPLES = 4


@dataclass(frozen=True, kw_only=True)
class Mount:
    """Where a camera sits on its vehicle, in CARLA's axes: x forward, y right, z up, metres.

    The angles are CARLA's too, in degrees: pitch is nose up, yaw and roll are to the right.
    """

    x: float = 1.5
    y: float = 0.0
    z: float = 1.7
    pitch_deg: float = 0.0
    yaw_deg: float = 0.0
    roll_deg: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RigCamera:
    """One camera of a rig.

    Attributes:
        name: what `Frame.camera` says, and the name of its folder in a recording.
        width, height: pixels. fov_deg: horizontal field of view.
        mount: where it sits.
        labels: names out of LABEL_DTYPES.
        spare: whether its chunks are the first to go when the engine is late and drops.
        supersample: how many times as wide and high the simulator draws its picture, of which
            each pixel is then a mean; labels have the size that is given here.
    """

    name: str
    width: int = 512
    height: int = 288
    fov_deg: float = 80.0
    mount: Mount = Mount()
    labels: tuple[str, ...] = DEFAULT_LABELS
    spare: bool = False
    supersample: int = 1

    def __post_init__(self) -> None:
        """Check the values, once; raises ConfigError."""
        if not self.name or not all(c.isalnum() or c in "-_" for c in self.name):
            raise ConfigError(
                f"expected a camera name of letters, digits, - and _, got {self.name!r}: it is "
                "the name of a folder too"
            )
        if min(self.width, self.height) < 1 or not 0 < self.fov_deg < 180:
            raise ConfigError(
                f"expected camera {self.name!r} of 1 pixel or more and a field of view between 0 "
                f"and 180 degrees, got {self.width}x{self.height} and {self.fov_deg:g}: change it"
            )
        if not 1 <= self.supersample <= MOST_SUPERSAMPLES:
            raise ConfigError(
                f"expected supersample of camera {self.name!r} from 1 to {MOST_SUPERSAMPLES}, got "
                f"{self.supersample}: 2 smooths jagged edges"
            )
        object.__setattr__(self, "labels", label_names(self.labels))


def label_names(
    labels: Sequence[str], known: Collection[str] = tuple(LABEL_DTYPES)
) -> tuple[str, ...]:
    """Return the names of labels, each once; ConfigError where they are not names of `known`."""
    if isinstance(labels, str):
        raise ConfigError(
            f"expected a list of labels, got the text {labels!r}: write [{labels!r}]"
            if labels in known
            else f"expected a list of labels out of {', '.join(known)}, got the text {labels!r}: "
            "write one"
        )
    unknown = [str(label) for label in labels if label not in known]
    if unknown:
        raise ConfigError(
            f"expected labels out of {', '.join(known)}, got {', '.join(unknown)}: leave the "
            "others out"
        )
    return tuple(dict.fromkeys(labels))


@dataclass(frozen=True)
class Rig:
    """The cameras of one vehicle, in the order in which their frames come, and other sensors."""

    cameras: tuple[RigCamera, ...]
    sensors: tuple[RigSensor, ...] = ()

    def __post_init__(self) -> None:
        """Check that there are cameras, each with a name of its own; raises ConfigError."""
        names = [camera.name for camera in self.cameras]
        if not names or len(set(names)) != len(names):
            raise ConfigError(
                "expected a rig of one or more cameras with different names, got "
                f"{', '.join(names) or 'none'}: give each one its own name"
            )

    @property
    def spare(self) -> list[str]:
        """Names of the cameras whose chunks are the first to go."""
        return [camera.name for camera in self.cameras if camera.spare]

    @classmethod
    def load(cls, path: str | Path) -> Rig:
        """Return the rig of a TOML file with one `[[camera]]` table a camera.

        Its keys are those of RigCamera and of Mount. A `[[sensor]]` table has those of Mount,
        `kind`, `name`, and the attributes of CARLA's blueprint. Raises ConfigError, naming the file
        and the key, for what cannot be read, is unknown, or is of another type.
        """
        try:
            content = read_toml(path)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"expected a rig file, got {reason(error)} from {path}: give a TOML file of "
                "[[camera]] tables"
            ) from error
        tables, others = content.pop("camera", []), content.pop("sensor", [])
        _refuse(content, "[[camera]] and [[sensor]] tables only", path)
        if not isinstance(others, list) or not all(isinstance(one, dict) for one in others):
            raise ConfigError(
                f"expected [[sensor]] tables, got another sensor in {path}: write [[sensor]]"
            )
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise ConfigError(
                f"expected [[camera]] tables, got another camera in {path}: write [[camera]]"
            )
        cameras = tuple(_camera(table, path) for table in tables)
        return cls(cameras, tuple(_sensor(table, path) for table in others))


PLACE = tuple(field.name for field in fields(Mount))
RATES = ("sensor_tick", "every", "fps")  # that a camera of a rig has not by itself
OPTICS = tuple(field.name for field in fields(RigCamera) if field.name != "mount")


def _camera(table: Mapping[str, Any], path: str | Path) -> RigCamera:
    slower = [key for key in RATES if key in table]
    if slower:
        raise ConfigError(
            f"expected cameras that all draw at every tick, got {slower[0]} in {path}: take it "
            "out, as their chunks are realized together, or write spare = true for a camera whose "
            "chunks may be left out"
        )
    unknown = {key: table[key] for key in table if key not in OPTICS + PLACE}
    _refuse(unknown, f"a camera's keys among {', '.join(OPTICS + PLACE)}", path)
    mount = {key: _number(key, table[key], path) for key in PLACE if key in table}
    values: dict[str, Any] = {key: table[key] for key in OPTICS if key in table}
    if not isinstance(values.get("name"), str):
        raise ConfigError(f"expected a name for every camera, got none in {path}: add name")
    for key in ("width", "height", "supersample"):
        if type(values.get(key, 1)) is not int:
            raise ConfigError(
                f"expected a whole number for {key}, got {values[key]!r} in {path}: change it"
            )
    if "fov_deg" in values:
        values["fov_deg"] = _number("fov_deg", values["fov_deg"], path)
    if not isinstance(values.get("spare", False), bool):
        raise ConfigError(
            f"expected true or false for spare, got {values['spare']!r} in {path}: change it"
        )
    labels = values.get("labels", [])
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ConfigError(
            f'expected labels such as ["depth", "instance"], got {labels!r} in {path}: write a list'
        )
    if "labels" in values:
        values["labels"] = tuple(labels)
    return RigCamera(**values, mount=Mount(**mount))


def _sensor(table: Mapping[str, Any], path: str | Path) -> RigSensor:
    kind, name = table.get("kind"), table.get("name", "")
    if not isinstance(kind, str) or not isinstance(name, str):
        raise ConfigError(
            f"expected a kind and a name for every sensor, got {kind!r} and {name!r} in {path}: "
            'write kind = "lidar"'
        )
    attributes = {key: table[key] for key in table if key not in ("kind", "name", *PLACE)}
    for key, value in attributes.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ConfigError(
                f"expected a number or a text for {key}, got {value!r} in {path}: change it"
            )
    place = Place(**{key: _number(key, table[key], path) for key in PLACE if key in table})
    given = any(key in table for key in PLACE)
    return RigSensor(kind=kind, name=name, place=place if given else None, attributes=attributes)


def _number(key: str, value: object, path: str | Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"expected a number for {key}, got {value!r} in {path}: change it")
    return float(value)


def _refuse(unknown: Mapping[str, Any], expected: str, path: str | Path) -> None:
    if unknown:
        raise ConfigError(
            f"expected {expected}, got {', '.join(sorted(unknown))} in {path}: take them out"
        )
