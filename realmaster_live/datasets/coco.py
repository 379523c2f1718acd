"""COCO: instances with masks, one JSON file for each split.

    out/sim/train/NAME.jpg  out/real/train/NAME.jpg
    out/annotations/instances_train.json    masks run-length encoded
    out/annotations/polygons_train.json     the same as polygons, with the option `polygons`

`file_name` is relative to out/sim or out/real, so that a paired export has one file for both.

Masks are run-length encoded, `{"size", "counts"}`, which pycocotools, torchvision's transforms v2
and Detectron2 (`INPUT.MASK_FORMAT: bitmask`) read. An annotation has one "segmentation", so
polygons are in a file of their own, with the same ids, for readers that know polygons only
(Detectron2's usual `polygon`): each part of a mask is one polygon and holes are filled; ignored
objects (`iscrowd` 1) stay run-length encoded, as in COCO itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import Annotation, pixels_of
from realmaster_live.annotations.masks import LIGHT
from realmaster_live.datasets.categories import COCO, Categories
from realmaster_live.datasets.coverage import categories_for
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.frames_csv import facts_of_frame
from realmaster_live.datasets.labels import Label, Picture, labelled
from realmaster_live.datasets.licences import licence_rows
from realmaster_live.datasets.options import SPLITS
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.polygons import as_polygons
from realmaster_live.datasets.rle import encode_masks, encode_parts
from realmaster_live.datasets.selection import Selection, Variant, open_drives
from realmaster_live.datasets.summary import Summary
from realmaster_live.optional import require

msgspec = require("msgspec", extra="live")

FORMAT = "coco"
NEEDS: tuple[str, ...] = ("instance",)
POLYGONS = "polygons"  # of an annotation, until the files are written


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
        polygons: write a second file of each split, with polygons.

    Raises:
        ConfigError: the folder or the selection cannot be used.
        RecordingError: a recording cannot be read, or the export cannot be written.
    """
    options = options or ExportOptions()
    drives = open_drives(selection, FORMAT, NEEDS)
    categories = categories_for(drives, options, COCO, NEEDS)
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
                    folder.note(name, drive, picture.sample)
                    part.append(
                        _entry(picture, name, categories, selection.variant, polygons=polygons)
                    )
            folder.write_part(drive, part)
    return _finish(folder, categories, polygons=polygons)


def _entry(
    picture: Picture, name: str, categories: Categories, variant: Variant, *, polygons: bool
) -> dict[str, Any]:
    """Return the picture's row of "images", and its "annotations" below it."""
    frame = picture.sample.frame
    instance = np.asarray(frame.labels["instance"], np.int32)
    height, width = instance.shape
    labels = (*picture.kept, *picture.ignored)
    coded = [one.annotation for one in labels]
    codes = encode_masks(instance, {_value(one) for one in coded if one.class_id != LIGHT})
    heads = [one for one in coded if one.class_id == LIGHT]  # those on one post share a mask
    parts = [pixels_of(one, instance) for one in heads]
    of_heads = encode_parts([(mask, at) for at, mask in parts], (width, height))
    heads_codes = dict(zip(map(id, heads), of_heads, strict=True))
    return {
        "file_name": name,
        "width": width,
        "height": height,
        "recording": picture.drive.name,
        "camera": picture.camera,
        "frame_id": frame.frame_id,
        "timestamp": frame.timestamp,
        **facts_of_frame(picture.drive, picture.sample, variant),
        "annotations": [
            _annotation(
                one,
                instance,
                heads_codes.get(id(one.annotation)) or codes.get(_value(one.annotation)),
                categories,
                polygons=polygons,
            )
            for one in labels
        ],
    }


def _annotation(
    label: Label,
    instance: NDArray[np.int32],  # (H, W)
    segmentation: Mapping[str, Any] | None,
    categories: Categories,
    *,
    polygons: bool,
) -> dict[str, Any]:
    one = label.annotation
    assert one.visible is not None
    left, top, right, bottom = one.visible
    kept = label.fate != "ignore"
    outlines = {}
    if polygons and kept:
        at, mask = pixels_of(one, instance)
        outlines = {POLYGONS: as_polygons(mask, at)}
    return {
        "category_id": categories.ids[label.category],
        "bbox": [left, top, right - left, bottom - top],
        "area": one.pixels,
        "segmentation": segmentation,
        **outlines,
        "iscrowd": int(not kept),
        "ignore": int(not kept),
        "object_id": None if one.thing is None else one.thing.object_id,
        "occlusion": round(one.occlusion, 3),
        "truncation": round(one.truncation, 3),
        "distance_m": None if np.isnan(one.distance_m) else round(one.distance_m, 2),
        **({"reason": label.reason} if label.reason else {}),
    }


def _as_json(content: dict[str, Any]) -> str:
    return str(msgspec.json.encode(content), "utf-8")  # a fifth of json's time


def _value(one: Annotation) -> int:
    """Return the instance label of an annotation's pixels."""
    return one.class_id << 16 | one.mask_id


def _finish(folder: ExportFolder, categories: Categories, *, polygons: bool) -> Summary:
    """Join the parts of all recordings, and number pictures and annotations from 1."""
    pictures: dict[str, list[Any]] = {split: [] for split in SPLITS}
    licences, numbers = licence_rows(drive.licences for drive, _ in folder.parts())
    for drive, part in folder.parts():
        number = numbers[tuple(drive.licences)]
        pictures[drive.split] += [{"license": number, **image} for image in part]
    names = [{"id": number, "name": name} for name, number in categories.ids.items()]
    for split, images in pictures.items():
        annotations: list[Any] = []
        for number, image in enumerate(images, start=1):
            image["id"] = number
            for one in image.pop("annotations"):
                annotations.append({"id": len(annotations) + 1, "image_id": number, **one})
        outlines = [one.pop(POLYGONS, None) for one in annotations]
        content = {
            "info": {"description": f"{folder.selection.variant} drives, {split}"},
            "licenses": licences,
            "categories": names,
            "images": images,
            "annotations": annotations,
        }
        if images:
            folder.write_text(f"annotations/instances_{split}.json", _as_json(content))
        if images and polygons:
            for one, outline in zip(annotations, outlines, strict=True):
                one["segmentation"] = outline or one["segmentation"]
            folder.write_text(f"annotations/polygons_{split}.json", _as_json(content))
    return folder.finish()
