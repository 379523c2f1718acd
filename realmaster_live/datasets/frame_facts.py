"""A frame's metadata, labels and trust as JSON."""

from __future__ import annotations

from typing import Any

from realmaster_live.datasets.categories import Categories
from realmaster_live.datasets.labels import Label, Picture
from realmaster_live.frames.classes import CLASS_IDS, CLASS_NAMES
from realmaster_live.frames.trust import number, trust_facts

# CARLA's own names and numbers: no class is left out or merged
CARLA = Categories(name="carla", of_class=dict(enumerate(CLASS_NAMES)), ids=CLASS_IDS)


def facts_of(picture: Picture) -> dict[str, Any]:
    """Return a picture's place, time, intrinsics, poses, prompt, annotations and trust.

    Matrices are lists of rows. Units and axes are those of the recording.
    """
    sample, frame = picture.sample, picture.sample.frame
    ego = frame.ego_to_world
    return {
        "recording": picture.drive.name,
        "split": picture.drive.split,
        "camera": picture.camera,
        "frame_id": frame.frame_id,
        "timestamp": frame.timestamp,
        **picture.drive.conditions(sample)._asdict(),
        "K": frame.intrinsics.tolist(),
        "distortion": frame.distortion.tolist(),
        "cam_to_world": frame.cam_to_world.tolist(),
        "ego_to_world": None if ego is None else ego.tolist(),
        "dropped_before": frame.dropped_before,
        "chunk_index": sample.chunk_index,
        "chunk_start": sample.chunk_start,
        "prompt": sample.prompt,
        "seed": sample.seed,
        "trust": None if sample.trust is None else trust_facts(sample.trust),
        "annotations": [_annotation(label) for label in picture.labels],
    }


def _annotation(label: Label) -> dict[str, Any]:
    one, thing = label.annotation, label.annotation.thing
    world = {} if thing is None else {
        "object_id": thing.object_id,
        "type_id": thing.type_id,
        "size": thing.size.tolist(),
        "object_to_world": thing.object_to_world.tolist(),
        "velocity": thing.velocity.tolist(),
        "light": thing.light,
        "fixed": thing.fixed,
    }  # fmt: skip
    return {
        "category": label.category,
        "ignored": label.reason,
        "class_id": one.class_id,
        "mask_id": one.mask_id,
        "visible": one.visible,
        "amodal": one.amodal,
        "pixels": one.pixels,
        "occlusion": one.occlusion,
        "truncation": one.truncation,
        "distance_m": number(one.distance_m),
        **world,
    }
