"""Subscribes to a realized camera as a ROS 2 node would, and prints what it got, as JSON.

    python ros2_reader.py DOMAIN COUNT NAMESPACE

Types are declared here by ROS's own definitions and decoded by Cyclone, not by the writer's code.
Each line is one message: topic, stamp in nanoseconds, frame of reference, and what it holds.
"""

import json
import sys
import time
from dataclasses import dataclass

from cyclonedds.core import Policy, Qos
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, float64, int32, sequence, uint8, uint32
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

TIMEOUT_S = 60.0


@dataclass
class Time(IdlStruct, typename="builtin_interfaces.msg.dds_.Time_"):
    sec: int32
    nanosec: uint32


@dataclass
class Header(IdlStruct, typename="std_msgs.msg.dds_.Header_"):
    stamp: Time
    frame_id: str


@dataclass
class Image(IdlStruct, typename="sensor_msgs.msg.dds_.Image_"):
    header: Header
    height: uint32
    width: uint32
    encoding: str
    is_bigendian: uint8
    step: uint32
    data: sequence[uint8]


@dataclass
class CompressedImage(IdlStruct, typename="sensor_msgs.msg.dds_.CompressedImage_"):
    header: Header
    format: str
    data: sequence[uint8]


@dataclass
class RegionOfInterest(IdlStruct, typename="sensor_msgs.msg.dds_.RegionOfInterest_"):
    x_offset: uint32
    y_offset: uint32
    height: uint32
    width: uint32
    do_rectify: bool


@dataclass
class CameraInfo(IdlStruct, typename="sensor_msgs.msg.dds_.CameraInfo_"):
    header: Header
    height: uint32
    width: uint32
    distortion_model: str
    d: sequence[float64]
    k: array[float64, 9]
    r: array[float64, 9]
    p: array[float64, 12]
    binning_x: uint32
    binning_y: uint32
    roi: RegionOfInterest


@dataclass
class Clock(IdlStruct, typename="rosgraph_msgs.msg.dds_.Clock_"):
    clock: Time


@dataclass
class Vector3(IdlStruct, typename="geometry_msgs.msg.dds_.Vector3_"):
    x: float64
    y: float64
    z: float64


@dataclass
class Quaternion(IdlStruct, typename="geometry_msgs.msg.dds_.Quaternion_"):
    x: float64
    y: float64
    z: float64
    w: float64


@dataclass
class Transform(IdlStruct, typename="geometry_msgs.msg.dds_.Transform_"):
    translation: Vector3
    rotation: Quaternion


@dataclass
class TransformStamped(IdlStruct, typename="geometry_msgs.msg.dds_.TransformStamped_"):
    header: Header
    child_frame_id: str
    transform: Transform


@dataclass
class TFMessage(IdlStruct, typename="tf2_msgs.msg.dds_.TFMessage_"):
    transforms: sequence[TransformStamped]


def described(kind, message):
    """Return frame of reference, stamp and content of a message."""
    if kind is Clock:
        return "", message.clock, None
    if kind is TFMessage:
        links = [
            [
                one.header.frame_id,
                one.child_frame_id,
                [one.transform.translation.x, one.transform.translation.y,
                 one.transform.translation.z],
                [one.transform.rotation.w, one.transform.rotation.x, one.transform.rotation.y,
                 one.transform.rotation.z],
            ]
            for one in message.transforms
        ]  # fmt: skip
        return "", message.transforms[0].header.stamp, links
    header = message.header
    if kind is CameraInfo:
        return header.frame_id, header.stamp, [message.width, message.height, list(message.k)]
    if kind is Image:
        content = [message.width, message.height, message.encoding, message.step]
        return header.frame_id, header.stamp, [*content, bytes(message.data).hex()]
    return header.frame_id, header.stamp, [message.format, bytes(message.data).hex()]


def main(domain: int, count: int, namespace: str) -> None:
    topics = {
        f"{namespace}/image": Image,
        f"{namespace}/image/compressed": CompressedImage,
        f"{namespace}/camera_info": CameraInfo,
        "/clock": Clock,
        "/tf": TFMessage,
    }
    participant = DomainParticipant(domain)
    how = Qos(
        Policy.Reliability.Reliable(max_blocking_time=10**8),
        Policy.History.KeepLast(1000),
        Policy.DataRepresentation(use_cdrv0_representation=True),
    )
    readers = {
        name: DataReader(participant, Topic(participant, f"rt{name}", kind), qos=how)
        for name, kind in topics.items()
    }
    print("ready", flush=True)
    got, deadline = dict.fromkeys(topics, 0), time.monotonic() + TIMEOUT_S
    while min(got.values()) < count and time.monotonic() < deadline:
        for name, reader in readers.items():
            for message in reader.take(100):
                frame_id, stamp, content = described(topics[name], message)
                got[name] += 1
                at = stamp.sec * 10**9 + stamp.nanosec
                print(json.dumps([name, at, frame_id, content]), flush=True)
        time.sleep(0.01)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
