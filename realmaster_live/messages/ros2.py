"""A frame as ROS 2 messages, in CDR, without a ROS installation (rosbags has the types).

Frames of reference: "map" is our world, the vehicle's role name its body (x forward, y left, z up:
REP 103), and NAME/CAMERA_real an optical frame (x right, y down, z forward), which are ROS's own
conventions. ROS puts a pixel's centre on whole numbers, so `cx` and `cy` are half a pixel less than
ours. All stamps are the simulation's clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.quaternion import to_quaternion
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.optional import require

WORLD = "map"
ROLE = "ego_vehicle"  # of a vehicle without a role name, as CARLA's ROS bridge has it
NANOSECONDS = 1_000_000_000
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
CLOCK = "rosgraph_msgs/msg/Clock"
TF = "tf2_msgs/msg/TFMessage"
TYPES = (IMAGE, COMPRESSED, CAMERA_INFO, CLOCK, TF)


@cache
def typestore() -> Any:
    """Return ROS 2's message types, of the Jazzy release."""
    rosbags = require("rosbags.typesys", extra="ros2")
    return rosbags.get_typestore(rosbags.Stores.ROS2_JAZZY)


def prepare() -> None:
    """Have rosbags compile the types that are used here, which takes a second or two."""
    for name in TYPES:
        typestore().get_msgdef(name)
        typestore().hash_rihs01(name)


def to_cdr(message: Any) -> bytes:
    """Return a message as ROS 2 sends it: little-endian CDR with its header of four bytes."""
    return bytes(typestore().serialize_cdr(message, message.__msgtype__))


@dataclass(frozen=True, kw_only=True)
class Names:
    """How the topics and frames of reference of a vehicle's cameras are called.

    Attributes:
        role: of the vehicle. namespace: in front of its cameras' topics.
    """

    role: str
    namespace: str

    @classmethod
    def of(cls, source: SourceInfo, namespace: str = "") -> Names:
        """Return those of a source; /carla/ROLE unless a namespace is given."""
        role = (source.ego.role_name if source.ego is not None else "") or ROLE
        return cls(
            role=role, namespace=f"/{namespace.strip('/')}" if namespace else f"/carla/{role}"
        )

    def topic(self, camera: str, kind: str) -> str:
        """Return the topic of a camera's "image", "image/compressed" or "camera_info"."""
        return f"{self.namespace}/{camera}_real/{kind}"

    def optical(self, camera: str) -> str:
        """Return the name of a camera's frame of reference."""
        return f"{self.role}/{camera}_real"


def stamp(frame: Frame) -> Any:
    """Return the simulation clock of a frame as a Time."""
    seconds, rest = divmod(round(frame.timestamp * NANOSECONDS), NANOSECONDS)
    return _type("builtin_interfaces/msg/Time")(sec=seconds, nanosec=rest)


def image(frame: Frame, names: Names) -> Any:
    """Return the picture as an Image, rgb8."""
    height, width = frame.image.shape[:2]
    return _type(IMAGE)(
        header=_header(frame, names.optical(frame.camera)),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(frame.image).reshape(-1),
    )


def compressed_image(frame: Frame, names: Names, jpeg: bytes) -> Any:
    """Return a JPEG file of the picture as a CompressedImage."""
    return _type(COMPRESSED)(
        header=_header(frame, names.optical(frame.camera)),
        format="rgb8; jpeg compressed bgr8",  # as image_transport writes it
        data=np.frombuffer(jpeg, np.uint8),
    )


def camera_info(frame: Frame, names: Names) -> Any:
    """Return the optics as a CameraInfo of the model plumb_bob."""
    height, width = frame.image.shape[:2]
    lens = frame.intrinsics.copy()
    lens[:2, 2] -= 0.5
    return _type(CAMERA_INFO)(
        header=_header(frame, names.optical(frame.camera)),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=frame.distortion.astype(np.float64),
        k=lens.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=np.hstack([lens, np.zeros((3, 1))]).reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=_type("sensor_msgs/msg/RegionOfInterest")(
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        ),
    )


def clock(frame: Frame) -> Any:
    """Return the simulation clock as a Clock."""
    return _type(CLOCK)(clock=stamp(frame))


def transforms(frame: Frame, names: Names) -> Any:
    """Return a TFMessage: map to vehicle to camera, or map to camera without a vehicle."""
    optical = names.optical(frame.camera)
    if frame.ego_to_world is None:
        chain = [(WORLD, optical, frame.cam_to_world)]
    else:
        mount = np.linalg.inv(frame.ego_to_world) @ frame.cam_to_world
        chain = [(WORLD, names.role, frame.ego_to_world), (names.role, optical, mount)]
    return _type(TF)(transforms=[_transform(frame, *link) for link in chain])


def facts(frame: Frame, names: Names, *, with_clock: bool) -> Iterator[tuple[str, str, Any]]:
    """Yield topic, type and message of all but the picture of a frame; /clock if `with_clock`."""
    if with_clock:
        yield "/clock", CLOCK, clock(frame)
    yield "/tf", TF, transforms(frame, names)
    yield names.topic(frame.camera, "camera_info"), CAMERA_INFO, camera_info(frame, names)


def _transform(frame: Frame, parent: str, child: str, matrix: NDArray[np.float64]) -> Any:
    x, y, z = matrix[:3, 3].tolist()
    w, i, j, k = to_quaternion(matrix)
    return _type("geometry_msgs/msg/TransformStamped")(
        header=_header(frame, parent),
        child_frame_id=child,
        transform=_type("geometry_msgs/msg/Transform")(
            translation=_type("geometry_msgs/msg/Vector3")(x=x, y=y, z=z),
            rotation=_type("geometry_msgs/msg/Quaternion")(x=i, y=j, z=k, w=w),
        ),
    )


def _header(frame: Frame, name: str) -> Any:
    return _type("std_msgs/msg/Header")(stamp=stamp(frame), frame_id=name)


def _type(name: str) -> Any:
    return typestore().types[name]
