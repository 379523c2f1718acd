"""CARLA's recorder log: what moved in a world, tick by tick, in its documented binary format.

Little endian. A header (version, magic, date, map), then packets of a byte, their size and content;
a frame lies between a start and an end packet. Vectors are float32: centimetres, or roll, pitch and
yaw in degrees. https://carla.readthedocs.io/en/0.9.15/ref_recorder_binary_file_format/
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from realmaster_live.errors import RecordingError, reason
from realmaster_live.minitown.transforms import Pose

VERSION, MAGIC = 1, "CARLA_RECORDER"
FRAME_START, FRAME_END, ADD, DELETE, PARENT = 0, 1, 2, 3, 4
POSITION, LIGHT, VEHICLE, WALKER, LAMPS = 6, 7, 8, 9, 10
OTHER_KIND, VEHICLE_KIND, WALKER_KIND, LIGHT_KIND = 0, 1, 2, 3
CM = 100.0  # a metre
LARGEST = 1e9  # of every number in a log: centimetres, degrees, seconds
MOST_BYTES = 1 << 29  # of a log that is read
HEADER_BYTES = 1 << 12  # more than a header has


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """An actor that was created."""

    id: int
    kind: int
    type_id: str
    pose: Pose
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Animated:
    """What a vehicle's driver does: shares, as in CARLA's vehicle control."""

    steer: float
    throttle: float
    brake: float
    hand_brake: bool
    gear: int


@dataclass(slots=True, kw_only=True)
class LogFrame:
    """One tick.

    Attributes:
        number: from 1. lasts_s: until the next frame. elapsed_s: since the log's beginning.
        added, deleted: actors that came and went since the frame before.
        poses: actor -> where it is. lights: actor -> (frozen, seconds, state).
        vehicles, walkers, lamps: actor -> its controls, its speed in m/s, CARLA's light flags.
    """

    number: int
    elapsed_s: float
    lasts_s: float = 0.0
    added: list[Added] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    poses: dict[int, Pose] = field(default_factory=dict)
    lights: dict[int, tuple[bool, float, int]] = field(default_factory=dict)
    vehicles: dict[int, Animated] = field(default_factory=dict)
    walkers: dict[int, float] = field(default_factory=dict)
    lamps: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHeader:
    """Which map was recorded, and when (seconds since 1970)."""

    map_name: str
    date_s: int


def write_header(file: IO[bytes], map_name: str) -> None:
    """Begin a log."""
    date = struct.pack("<q", int(time.time()))
    file.write(struct.pack("<H", VERSION) + _text(MAGIC) + date + _text(map_name))


def write_frame(file: IO[bytes], frame: LogFrame) -> None:
    """Append a frame."""
    start = struct.pack("<Qdd", frame.number, frame.lasts_s, frame.elapsed_s)
    packets = [_packet(FRAME_START, start)]
    packets.append(_records(ADD, [_added(one) for one in frame.added]))
    packets.append(_records(DELETE, [struct.pack("<I", one) for one in frame.deleted]))
    packets.append(_records(PARENT, []))
    packets.append(
        _records(POSITION, [struct.pack("<I", k) + _pose(p) for k, p in frame.poses.items()])
    )
    packets.append(
        _records(LIGHT, [struct.pack("<I?fB", k, *values) for k, values in frame.lights.items()])
    )
    packets.append(
        _records(
            VEHICLE,
            [
                struct.pack("<Ifff?i", k, v.steer, v.throttle, v.brake, v.hand_brake, v.gear)
                for k, v in frame.vehicles.items()
            ],
        )
    )
    for kind, form, values in (
        (WALKER, "<If", frame.walkers.items()),
        (LAMPS, "<II", frame.lamps.items()),
    ):
        packets.append(_records(kind, [struct.pack(form, *pair) for pair in values]))
    packets.append(_packet(FRAME_END, b""))
    file.write(b"".join(packets))


def read_header(path: Path) -> LogHeader:
    """Return how a log begins; RecordingError where it is none."""
    with path.open("rb") as file:
        return _header(_Reader(file.read(HEADER_BYTES)), path)


def read_log(path: Path) -> tuple[LogHeader, list[LogFrame]]:
    """Return a log; one that was cut off ends with its last whole frame.

    Raises:
        RecordingError: it is no log.
    """
    try:
        if not path.is_file():
            raise OSError("no regular file")
        if path.stat().st_size > MOST_BYTES:
            raise OSError(f"a file of more than {MOST_BYTES >> 20} MiB")
        reader = _Reader(path.read_bytes())
    except OSError as error:
        raise RecordingError(
            f"expected a recorder log in {path}, got {reason(error)}: record it again"
        ) from error
    header = _header(reader, path)
    frames: list[LogFrame] = []
    try:
        for frame in _frames(reader):
            if frames and not frame.elapsed_s >= frames[-1].elapsed_s:
                raise ValueError(f"time that runs backwards in frame {frame.number}")
            frames.append(frame)
    except ValueError as error:
        raise RecordingError(
            f"expected a recorder log in {path}, got {error}: record it again"
        ) from error
    return header, frames


def _header(reader: _Reader, path: Path) -> LogHeader:
    try:
        version, magic = reader.take("<H")[0], reader.text()
        if (version, magic) != (VERSION, MAGIC):
            raise ValueError
        return LogHeader(date_s=reader.take("<q")[0], map_name=reader.text())
    except (struct.error, ValueError) as error:
        raise RecordingError(
            f"expected a recorder log of version {VERSION} in {path}, got another kind of file: "
            "name another"
        ) from error


def _frames(reader: _Reader) -> Iterator[LogFrame]:
    frame: LogFrame | None = None
    try:
        while True:
            kind, size = reader.take("<BI")
            packet = reader.part(size)
            if kind == FRAME_START:
                number, lasts_s, elapsed_s = packet.take("<Qdd")
                frame = LogFrame(number=number, elapsed_s=elapsed_s, lasts_s=lasts_s)
            elif kind == FRAME_END and frame is not None:
                yield frame
                frame = None
            elif frame is not None:
                _fill(frame, kind, packet)
    except struct.error:
        return


def _fill(frame: LogFrame, kind: int, packet: _Reader) -> None:
    """Put a packet's records into its frame; kinds that are not known are skipped."""
    if kind not in (ADD, DELETE, POSITION, LIGHT, VEHICLE, WALKER, LAMPS):
        return
    for _ in range(packet.take("<H")[0]):
        (key,) = packet.take("<I")
        if kind == ADD:
            frame.added.append(packet.added(key))
        elif kind == DELETE:
            frame.deleted.append(key)
        elif kind == POSITION:
            frame.poses[key] = packet.pose()
        elif kind == LIGHT:
            frozen, elapsed_s, state = packet.take("<?fB")
            frame.lights[key] = (frozen, elapsed_s, state)
        elif kind == VEHICLE:
            steer, throttle, brake, hand_brake, gear = packet.take("<fff?i")
            frame.vehicles[key] = Animated(
                steer=steer, throttle=throttle, brake=brake, hand_brake=hand_brake, gear=gear
            )
        elif kind == WALKER:
            frame.walkers[key] = packet.take("<f")[0]
        else:
            frame.lamps[key] = packet.take("<I")[0]


class _Reader:
    """Bytes, read one value after another; struct.error where they end."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data, self._at = memoryview(data), 0

    def take(self, form: str) -> tuple[Any, ...]:
        """Return the next values; ValueError where a number is infinite, none, or too large."""
        values = struct.unpack_from(form, self._data, self._at)
        for value in values:
            if isinstance(value, float) and not abs(value) <= LARGEST:
                raise ValueError(f"the number {value:g}")
        self._at += struct.calcsize(form)
        return values

    def part(self, size: int) -> _Reader:
        if self._at + size > len(self._data):
            raise struct.error("it was cut off")
        self._at += size
        return _Reader(self._data[self._at - size : self._at])

    def text(self) -> str:
        return bytes(self.part(self.take("<H")[0])._data).decode()

    def pose(self) -> Pose:
        x, y, z, roll, pitch, yaw = self.take("<6f")
        return Pose(x / CM, y / CM, z / CM, pitch, yaw, roll)

    def added(self, key: int) -> Added:
        (kind,) = self.take("<B")
        pose = self.pose()
        self.take("<I")  # the blueprint's number, which is another one in each release
        type_id, attributes = self.text(), {}
        for _ in range(self.take("<H")[0]):
            self.take("<B")
            name = self.text()
            attributes[name] = self.text()
        return Added(id=key, kind=kind, type_id=type_id, pose=pose, attributes=attributes)


def _added(one: Added) -> bytes:
    values = b"".join(
        struct.pack("<B", 3) + _text(name) + _text(value) for name, value in one.attributes.items()
    )
    head = struct.pack("<IB", one.id, one.kind) + _pose(one.pose) + struct.pack("<I", 0)
    return head + _text(one.type_id) + struct.pack("<H", len(one.attributes)) + values


def _pose(pose: Pose) -> bytes:
    x, y, z = (CM * part for part in pose.location)
    return struct.pack("<6f", x, y, z, pose.roll, pose.pitch, pose.yaw)


def _records(kind: int, records: list[bytes]) -> bytes:
    return _packet(kind, struct.pack("<H", len(records)) + b"".join(records))


def _packet(kind: int, content: bytes) -> bytes:
    return struct.pack("<BI", kind, len(content)) + content


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<H", len(data)) + data
