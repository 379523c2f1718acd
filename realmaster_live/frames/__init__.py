"""Frames and chunks, with their objects, cameras, labels and source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.frames.chunk import LABEL_DTYPES, Chunk, ChunkSpec, Frame
    from realmaster_live.frames.classes import CLASS_NAMES
    from realmaster_live.frames.ego import EgoState, Sweep
    from realmaster_live.frames.objects import SceneObject
    from realmaster_live.frames.rig import Mount, Rig, RigCamera
    from realmaster_live.frames.rig_sensors import RigSensor
    from realmaster_live.frames.source_info import CameraInfo, SensorInfo, SourceInfo
    from realmaster_live.frames.trust import FrameTrust, InstanceTrust

_HOMES = {
    "CLASS_NAMES": "realmaster_live.frames.classes",
    "LABEL_DTYPES": "realmaster_live.frames.chunk",
    "CameraInfo": "realmaster_live.frames.source_info",
    "Chunk": "realmaster_live.frames.chunk",
    "ChunkSpec": "realmaster_live.frames.chunk",
    "EgoState": "realmaster_live.frames.ego",
    "Frame": "realmaster_live.frames.chunk",
    "FrameTrust": "realmaster_live.frames.trust",
    "InstanceTrust": "realmaster_live.frames.trust",
    "Mount": "realmaster_live.frames.rig",
    "Rig": "realmaster_live.frames.rig",
    "RigCamera": "realmaster_live.frames.rig",
    "RigSensor": "realmaster_live.frames.rig_sensors",
    "SceneObject": "realmaster_live.frames.objects",
    "SensorInfo": "realmaster_live.frames.source_info",
    "SourceInfo": "realmaster_live.frames.source_info",
    "Sweep": "realmaster_live.frames.ego",
}
__all__ = [
    "CLASS_NAMES",
    "LABEL_DTYPES",
    "CameraInfo",
    "Chunk",
    "ChunkSpec",
    "EgoState",
    "Frame",
    "FrameTrust",
    "InstanceTrust",
    "Mount",
    "Rig",
    "RigCamera",
    "RigSensor",
    "SceneObject",
    "SensorInfo",
    "SourceInfo",
    "Sweep",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
