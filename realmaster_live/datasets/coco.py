"""COCO: instances with masks, one JSON file a split.

    out/sim/train/NAME.jpg  out/real/train/NAME.jpg  out/annotations/instances_train.json

`file_name` is relative to out/sim or out/real, so that a paired export has one file for both.
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
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.rle import encode_rle
from realmaster_live.datasets.selection import Selection, open_drives
from realmaster_live.datasets.splits import SPLITS
from realmaster_live.datasets.summary import Summary


def export(selection: Selection, out: Path, *, options: ExportOptions | None = None) -> Summary:
    """Write a selection as COCO instances and return what was written.

    An annotation's `bbox`, `area` and `segmentation` are those of the pixels that are seen. An
    ignored one has `iscrowd` and `ignore` 1, and `reason`. `object_id`, `occlusion`, `truncation`
    and `distance_m` are the simulator's.

    Raises:
        ConfigError: the folder or the selection cannot be used.
        RecordingError: a recording cannot be read, or the export not be written.
    """
    options = options or ExportOptions()
    categories = options.categories or COCO
    drives = open_drives(selection, "coco")
    folder = ExportFolder(out, "coco", selection, options)
    for drive in drives:
        with folder.drive(drive) as tally, PictureFiles.of(options) as files:
            if tally is None:
                continue
            part = []
            for camera in drive.cameras:
                for picture in labelled(drive, camera, selection, categories, tally, ("instance",)):
                    name = f"{drive.split}/{picture.stem}.jpg"
                    for kind, pixels in picture.views(selection.variant):
                        files.write(out / kind / name, pixels)
                    part.append(_entry(picture, name, categories))
            folder.write_part(drive, part)
    return _finish(folder, categories)


def _entry(picture: Picture, name: str, categories: Categories) -> dict[str, Any]:
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
        "annotations": [_annotation(one, instance, categories) for one in labels],
    }


def _annotation(label: Label, instance: Any, categories: Categories) -> dict[str, Any]:
    one = label.annotation
    at, mask = pixels_of(one, instance)
    assert one.visible is not None
    left, top, right, bottom = one.visible
    return {
        "category_id": categories.ids[label.category],
        "bbox": [left, top, right - left, bottom - top],
        "area": one.pixels,
        "segmentation": encode_rle(mask, at, (instance.shape[1], instance.shape[0])),
        "iscrowd": int(label.fate == "ignore"),
        "ignore": int(label.fate == "ignore"),
        "object_id": None if one.thing is None else one.thing.object_id,
        "occlusion": round(one.occlusion, 3),
        "truncation": round(one.truncation, 3),
        "distance_m": None if np.isnan(one.distance_m) else round(one.distance_m, 2),
        **({"reason": label.reason} if label.reason else {}),
    }


def _finish(folder: ExportFolder, categories: Categories) -> Summary:
    """Join what the recordings gave, numbering pictures and annotations from 1 on."""
    pictures: dict[str, list[Any]] = {split: [] for split in SPLITS}
    for drive, part in folder.parts():
        pictures[drive.split] += part
    names = [{"id": number, "name": name} for name, number in categories.ids.items()]
    for split, images in pictures.items():
        annotations: list[Any] = []
        for number, image in enumerate(images, start=1):
            image["id"] = number
            for one in image.pop("annotations"):
                annotations.append({"id": len(annotations) + 1, "image_id": number, **one})
        content = {
            "info": {"description": f"{folder.selection.variant} drives, {split}"},
            "licenses": [],
            "categories": names,
            "images": images,
            "annotations": annotations,
        }
        if images:
            folder.write_text(f"annotations/instances_{split}.json", json.dumps(content))
    return folder.finish()
