"""COCO: instances with masks, one JSON file for each split.

    out/sim/train/NAME.jpg  out/real/train/NAME.jpg  out/annotations/instances_train.json

`file_name` is relative to out/sim or out/real, so that a paired export has one file for both.

Masks are run-length encoded, `{"size", "counts"}`, which pycocotools, torchvision's transforms v2
and Detectron2 (`INPUT.MASK_FORMAT: bitmask`) read. The option `polygons` is for readers that know
polygons only: each part of a mask becomes one polygon and holes are filled; only ignored objects
(`iscrowd` 1) stay run-length encoded, as in COCO itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.annotations import pixels_of
from realmaster_live.datasets.categories import COCO, Categories
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.labels import Label, Picture, labelled
from realmaster_live.datasets.options import SPLITS
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.polygons import as_polygons
from realmaster_live.datasets.rle import encode_rle
from realmaster_live.datasets.selection import Selection, open_drives
from realmaster_live.datasets.summary import Summary

FORMAT = "coco"
NEEDS: tuple[str, ...] = ("instance",)
UNKNOWN_LICENCE = "not stated in the recording"


def export(
    selection: Selection,
    out: Path,
    *,
    options: ExportOptions | None = None,
    polygons: bool = False,
) -> Summary:
    """Write a selection as COCO instances and return what was written.

    An annotation's `bbox`, `area` and `segmentation` are those of its visible pixels. Ignored
    annotations have `iscrowd` and `ignore` 1, and a `reason`. `object_id`, `occlusion`,
    `truncation` and `distance_m` come from the simulator.

    Args:
        selection: what to export.
        out: the folder to write.
        options: how to write it.
        polygons: write polygons instead of run-length encoded masks.

    Raises:
        ConfigError: the folder or the selection cannot be used.
        RecordingError: a recording cannot be read, or the export cannot be written.
    """
    options = options or ExportOptions()
    categories = options.categories or COCO
    drives = open_drives(selection, FORMAT, NEEDS)
    folder = ExportFolder(out, FORMAT, drives, selection, options, {"polygons": polygons})
    for drive in drives:
        with folder.drive(drive) as tally, PictureFiles.of(folder, options) as files:
            if tally is None:
                continue
            part = []
            for camera in drive.cameras:
                for picture in labelled(drive, camera, selection, categories, tally, ("instance",)):
                    name = f"{drive.split}/{picture.stem}.jpg"
                    for kind, pixels in picture.views(selection.variant):
                        files.write(out / kind / name, pixels)
                    part.append(_entry(picture, name, categories, polygons=polygons))
            folder.write_part(drive, part)
    return _finish(folder, categories)


def _entry(
    picture: Picture, name: str, categories: Categories, *, polygons: bool
) -> dict[str, Any]:
    """Return the picture's row of "images", and its "annotations" below it."""
    frame = picture.sample.frame
    instance = np.asarray(frame.labels["instance"], np.int32)
    height, width = instance.shape
    labels = (*picture.kept, *picture.ignored)
    return {
        "file_name": name,
        "width": width,
        "height": height,
        "recording": picture.drive.name,
        "camera": picture.camera,
        "frame_id": frame.frame_id,
        "timestamp": frame.timestamp,
        **picture.drive.conditions(picture.sample)._asdict(),
        "annotations": [
            _annotation(one, instance, categories, polygons=polygons) for one in labels
        ],
    }


def _annotation(
    label: Label, instance: Any, categories: Categories, *, polygons: bool
) -> dict[str, Any]:
    one = label.annotation
    at, mask = pixels_of(one, instance)
    assert one.visible is not None
    left, top, right, bottom = one.visible
    size = (instance.shape[1], instance.shape[0])
    kept = label.fate != "ignore"
    return {
        "category_id": categories.ids[label.category],
        "bbox": [left, top, right - left, bottom - top],
        "area": one.pixels,
        "segmentation": as_polygons(mask, at) if polygons and kept else encode_rle(mask, at, size),
        "iscrowd": int(not kept),
        "ignore": int(not kept),
        "object_id": None if one.thing is None else one.thing.object_id,
        "occlusion": round(one.occlusion, 3),
        "truncation": round(one.truncation, 3),
        "distance_m": None if np.isnan(one.distance_m) else round(one.distance_m, 2),
        **({"reason": label.reason} if label.reason else {}),
    }


def _finish(folder: ExportFolder, categories: Categories) -> Summary:
    """Join the parts of all recordings, and number pictures and annotations from 1."""
    pictures: dict[str, list[Any]] = {split: [] for split in SPLITS}
    licences: dict[str, int] = {}  # name -> its number
    for drive, part in folder.parts():
        name = ", ".join(drive.licences) or UNKNOWN_LICENCE
        number = licences.setdefault(name, len(licences) + 1)
        pictures[drive.split] += [{"license": number, **image} for image in part]
    names = [{"id": number, "name": name} for name, number in categories.ids.items()]
    for split, images in pictures.items():
        annotations: list[Any] = []
        for number, image in enumerate(images, start=1):
            image["id"] = number
            for one in image.pop("annotations"):
                annotations.append({"id": len(annotations) + 1, "image_id": number, **one})
        content = {
            "info": {"description": f"{folder.selection.variant} drives, {split}"},
            "licenses": [
                {"id": number, "name": name, "url": ""} for name, number in licences.items()
            ],
            "categories": names,
            "images": images,
            "annotations": annotations,
        }
        if images:
            folder.write_text(f"annotations/instances_{split}.json", json.dumps(content))
    return folder.finish()
