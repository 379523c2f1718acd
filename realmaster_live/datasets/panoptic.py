"""COCO panoptic: a segment for every pixel, in the layout that panopticapi documents.

    out/sim/train/NAME.jpg  out/real/train/NAME.jpg
    out/annotations/panoptic_train/NAME.png    segment ids as R + 256 G + 65536 B, 0 for none
    out/annotations/panoptic_train.json        images, categories, and the segments of each picture

`file_name` of an image is relative to out/sim or out/real, that of an annotation to the folder of
the split's PNG files.

Ignored objects are crowds (`iscrowd` 1). Pixels of objects that are ignored for low trust, of the
vehicle that carries the camera, and of classes without a category belong to no segment.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import pixels_of
from realmaster_live.datasets.categories import COCO_PANOPTIC, Categories
from realmaster_live.datasets.coverage import categories_for
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.frames_csv import facts_of_frame
from realmaster_live.datasets.labels import Picture, labelled
from realmaster_live.datasets.licences import licence_rows
from realmaster_live.datasets.options import SPLITS
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.rules import LOW_TRUST
from realmaster_live.datasets.selection import Selection, open_drives
from realmaster_live.datasets.summary import Summary
from realmaster_live.frames.classes import PALETTE, THINGS
from realmaster_live.optional import require

cv2 = require("cv2", extra="live")

FORMAT = "panoptic"
NEEDS: tuple[str, ...] = ("semantic", "instance")
Ids = NDArray[np.int32]  # (H, W) segment ids, 0 for none


def export(selection: Selection, out: Path, *, options: ExportOptions | None = None) -> Summary:
    """Write a selection as COCO panoptic and return what was written.

    Raises:
        ConfigError: the folder or the selection cannot be used.
        RecordingError: a recording cannot be read, or the export cannot be written.
    """
    options = options or ExportOptions()
    drives = open_drives(selection, FORMAT, NEEDS)
    categories = categories_for(drives, options, COCO_PANOPTIC, NEEDS)
    folder = ExportFolder(out, FORMAT, drives, selection, options)
    for drive in drives:
        with folder.drive(drive) as tally, PictureFiles.of(folder, options) as files:
            if tally is None:
                continue
            part = []
            for camera in drive.cameras:
                for picture in labelled(drive, camera, selection, categories, tally, NEEDS):
                    name = f"{drive.split}/{picture.stem}"
                    for kind, pixels in picture.views(selection.variant):
                        files.write(out / kind / f"{name}.jpg", pixels)
                    ids, segments = segments_of(picture, categories)
                    stored = ids.astype("<i4").view(np.uint8).reshape(*ids.shape, 4)[..., :3]
                    files.write(out / f"annotations/panoptic_{name}.png", stored)
                    frame = picture.sample.frame
                    folder.note(f"{name}.jpg", drive, picture.sample)
                    part.append(
                        {
                            "file_name": f"{name}.jpg",
                            "width": ids.shape[1],
                            "height": ids.shape[0],
                            "recording": drive.name,
                            "camera": camera,
                            "frame_id": frame.frame_id,
                            "timestamp": frame.timestamp,
                            **facts_of_frame(drive, picture.sample, selection.variant),
                            "segments_info": segments,
                        }
                    )
            folder.write_part(drive, part)
    return _finish(folder, categories)


def segments_of(picture: Picture, categories: Categories) -> tuple[Ids, list[dict[str, Any]]]:
    """Return the segment of every pixel, and the rows of "segments_info".

    The id of what cannot be counted is its category's number; objects have the numbers after those.
    """
    labels = picture.sample.frame.labels
    semantic = np.asarray(labels["semantic"], np.uint8)
    instance = np.asarray(labels["instance"], np.int32)
    table = np.maximum(categories.table(semantic), 0)
    table[list(THINGS)] = 0
    ids: Ids = np.asarray(cv2.LUT(semantic, table.astype(np.int32)), np.int32)
    free = max(categories.ids.values()) + 1
    rows = {
        number: {"id": number, "category_id": number, "iscrowd": int(name in things(categories))}
        for name, number in categories.ids.items()
    }
    for label in (*picture.ignored, *picture.kept):
        if label.reason == LOW_TRUST:
            continue
        (left, top), mask = pixels_of(label.annotation, instance)
        number = free + len(rows) - len(categories.ids)
        ids[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = number
        rows[number] = {
            "id": number,
            "category_id": categories.ids[label.category],
            "iscrowd": int(label.fate == "ignore"),
        }
    areas = np.bincount(ids.ravel(), minlength=1)
    segments = []
    for number in np.flatnonzero(areas).tolist():
        if number:
            box = cv2.boundingRect((ids == number).view(np.uint8))
            segments.append({**rows[number], "area": int(areas[number]), "bbox": list(box)})
    return ids, segments


def things(categories: Categories) -> frozenset[str]:
    """Return the categories whose objects can be counted: those of a class of which that holds."""
    return frozenset(
        name for number, name in categories.of_class.items() if name and number in THINGS
    )


def _finish(folder: ExportFolder, categories: Categories) -> Summary:
    """Join the parts of all recordings, and number pictures from 1."""
    parts = list(folder.parts())
    licences, numbers = licence_rows(drive.licences for drive, _ in parts)
    counted = things(categories)
    colours = {
        name: PALETTE[number].tolist()
        for number, name in sorted(categories.of_class.items(), reverse=True)
        if number < len(PALETTE)
    }
    names = [
        {
            "id": number,
            "name": name,
            "supercategory": name,
            "isthing": int(name in counted),
            "color": colours.get(name, [0, 0, 0]),
        }
        for name, number in categories.ids.items()
    ]
    for split in SPLITS:
        rows = [
            (numbers[tuple(drive.licences)], row)
            for drive, part in parts
            if drive.split == split
            for row in part
        ]
        images, annotations = [], []
        for number, (licence, row) in enumerate(rows, start=1):
            segments = row.pop("segments_info")
            images.append({"id": number, "license": licence, **row})
            file = f"{Path(row['file_name']).stem}.png"
            annotations.append({"image_id": number, "file_name": file, "segments_info": segments})
        content = {
            "info": {"description": f"{folder.selection.variant} drives, {split}"},
            "licenses": licences,
            "categories": names,
            "images": images,
            "annotations": annotations,
        }
        if images:
            folder.write_text(f"annotations/panoptic_{split}.json", json.dumps(content))
    return folder.finish()
