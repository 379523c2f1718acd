"""ROS 2 topics of the realized pictures, over DDS, without a ROS installation.

    NAMESPACE/CAMERA_real/image             sensor_msgs/Image, rgb8
    NAMESPACE/CAMERA_real/image/compressed  sensor_msgs/CompressedImage, JPEG
    NAMESPACE/CAMERA_real/camera_info       sensor_msgs/CameraInfo
    /tf                                     tf2_msgs/TFMessage, map to vehicle to camera
    /clock                                  rosgraph_msgs/Clock

NAMESPACE is /carla/ROLE unless it is given. Pictures are made into messages only while somebody
subscribes. All stamps are the simulation's clock: set `use_sim_time` in nodes that compare them.
"""

from __future__ import annotations

import logging
import os
import re
import time
from functools import cache
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.messages import ros2 as messages
from realmaster_live.messages.ros2 import typestore
from realmaster_live.optional import require
from realmaster_live.sinks.encoding import Encodings
from realmaster_live.sinks.urls import SinkUrl

core = require("cyclonedds.core", extra="ros2")
dds_domain = require("cyclonedds.domain", extra="ros2")
dds_pub = require("cyclonedds.pub", extra="ros2")
dds_topic = require("cyclonedds.topic", extra="ros2")
qos = require("cyclonedds.qos", extra="ros2")
log = logging.getLogger(__name__)

DEPTH = 10  # messages that a late reader may still get
BLOCKING_NS = 100_000_000  # how long a write may wait for a slow reader
LAST_DOMAIN = 232
NAMESPACE = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*/?", re.ASCII)
ALONE_S = 5.0  # without a reader, after which the log says so

idl = require("cyclonedds.idl", extra="ros2")
types = require("cyclonedds.idl.types", extra="ros2")
interfaces = require("rosbags.interfaces", extra="ros2")

Node = interfaces.Nodetype
BASES = {"string": str, "bool": bool, "float32": types.float32, "float64": types.float64}
BASES |= {f"{sign}int{bits}": getattr(types, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)}  # noqa: E501  # fmt: skip


@cache
def dds_type(name: str) -> Any:
    """Return the type of a message such as "sensor_msgs/msg/Image"; `sample` fills it."""
    package, folder, short = name.split("/")
    made = idl.make_idl_struct(
        f"{short}_",
        f"{package}.{folder}.dds_.{short}_",
        {field: _field(kind) for field, kind in typestore().fielddefs[name][1]},
    )
    made.serialize = _ready_cdr
    return made


def sample(name: str, cdr: bytes) -> Any:
    """Return a sample of a message in CDR, for a DataWriter of its type."""
    made = object.__new__(dds_type(name))
    made.cdr = cdr
    return made


def _field(kind: Any) -> Any:
    node, content = kind
    if node == Node.BASE:
        return BASES[content[0]]
    if node == Node.NAME:
        return dds_type(content)
    inner, length = content
    if node == Node.ARRAY:
        return types.array[_field(inner), length]
    return types.sequence[_field(inner)]


def _ready_cdr(self: Any, *arguments: object, **options: object) -> bytes:
    cdr: bytes = self.cdr
    return cdr


def from_url(url: SinkUrl) -> Ros2Publisher:
    """Return the sink of `ros2:`, `ros2:DOMAIN` or `ros2:DOMAIN/NAMESPACE`."""
    domain, _, namespace = url.rest.partition("/")
    if domain and not (domain.isdecimal() and int(domain) <= LAST_DOMAIN):
        raise url.wrong(f"the domain {domain!r}, not 0 to {LAST_DOMAIN},")
    if namespace and not NAMESPACE.fullmatch(namespace):
        raise url.wrong(
            f"the namespace {'/' + namespace!r}, not letters, digits, _ and / as in /sim,"
        )
    return Ros2Publisher(domain=int(domain) if domain else None, namespace=namespace)


class Ros2Publisher:
    """A sink that publishes realized frames as ROS 2 topics.

    Args:
        domain: of DDS; ROS_DOMAIN_ID, or else 0, by default. namespace: of the cameras' topics.

    Attributes:
        names: how topics and frames of reference are called.
    """

    def __init__(self, *, domain: int | None = None, namespace: str = "") -> None:
        self.names = messages.Names.of(SourceInfo(), namespace)
        self._domain, self._namespace = domain, namespace
        self._encodings = Encodings()
        self._participant: Any = None
        self._writers: dict[str, Any] = {}
        self._clock = ""  # the camera whose frames move /clock on: the first
        self._opened_at = 0.0
        self._is_alone = True

    def open(self) -> None:
        """Join the domain.

        Raises:
            ConfigError: DDS finds no network interface, or its configuration is wrong.
        """
        domain = _domain_of_environment() if self._domain is None else self._domain
        try:
            self._participant = dds_domain.DomainParticipant(domain)
        except core.DDSException as error:
            raise ConfigError(
                f"expected to join the DDS domain {domain}, got {' '.join(str(error).split())}: "
                "look at the network and at CYCLONEDDS_URI"
            ) from error
        for kind in messages.TYPES:
            dds_type(kind)
        messages.prepare()
        self._opened_at = time.monotonic()

    def begin(self, run: RunInfo) -> None:
        """Take the vehicle's role from the source."""
        self._encodings = Encodings.of(run)
        self.names = messages.Names.of(run.source_info, self._namespace)

    def write(self, chunk: Chunk) -> None:
        """Publish every frame of a chunk."""
        self._clock = self._clock or chunk.camera
        for row in range(len(chunk)):
            frame = chunk.frame(row)
            for topic, kind, message in messages.facts(
                frame, self.names, with_clock=chunk.camera == self._clock
            ):
                self._publish(topic, kind, message)
            self._publish_picture(frame, chunk, row)
        self._say_alone()

    def close(self) -> None:
        """Leave the domain."""
        self._writers.clear()
        self._participant = None

    def _publish_picture(self, frame: Frame, chunk: Chunk, row: int) -> None:
        names = self.names
        topic = names.topic(frame.camera, "image")
        if self._is_read(topic, messages.IMAGE):
            self._publish(topic, messages.IMAGE, messages.image(frame, names))
        topic = names.topic(frame.camera, "image/compressed")
        if self._is_read(topic, messages.COMPRESSED):
            jpeg = self._encodings.jpeg(chunk)[row]
            picture = messages.compressed_image(frame, names, jpeg)
            self._publish(topic, messages.COMPRESSED, picture)

    def _publish(self, topic: str, kind: str, message: Any) -> None:
        self._writer(topic, kind).write(sample(kind, messages.to_cdr(message)))

    def _is_read(self, topic: str, kind: str) -> bool:
        return bool(self._writer(topic, kind).get_matched_subscriptions())

    def _writer(self, topic: str, kind: str) -> Any:
        if topic not in self._writers:
            policy = qos.Policy
            how = qos.Qos(
                policy.Reliability.Reliable(max_blocking_time=BLOCKING_NS),
                policy.Durability.Volatile,
                policy.History.KeepLast(DEPTH),
                policy.DataRepresentation(use_cdrv0_representation=True),
                policy.Userdata(f"typehash={messages.typestore().hash_rihs01(kind)};".encode()),
            )
            made = dds_topic.Topic(self._participant, f"rt{topic}", dds_type(kind))
            self._writers[topic] = dds_pub.DataWriter(self._participant, made, qos=how)
        return self._writers[topic]

    def _say_alone(self) -> None:
        """Say once that nobody subscribes to anything."""
        if self._is_alone and time.monotonic() - self._opened_at > ALONE_S:
            self._is_alone = False
            if not any(one.get_matched_subscriptions() for one in self._writers.values()):
                log.warning(
                    "ROS 2: nobody subscribes to %s yet: same domain, same network?",
                    self.names.namespace,
                )


def _domain_of_environment() -> int:
    given = os.environ.get("ROS_DOMAIN_ID", "")
    return int(given) if given.isdecimal() and int(given) <= LAST_DOMAIN else 0
