"""Cityscapes: pictures and pixel-wise labels, with one folder for each split and town.

    out/leftImg8bit/train/minitown07/minitown07_000000_000042_leftImg8bit.png
    out/gtFine/train/minitown07/minitown07_000000_000042_gtFine_{labelIds,instanceIds,...}.png
    out/gtFine/train/minitown07/minitown07_000000_000042_gtFine_polygons.json    with `polygons`
    out/frames.csv    recording, frame, weather, licence and trust of every picture

The first number stands for the recording and camera, the second is the simulator's frame number. In
a paired export leftImg8bit holds the realized pictures, and leftImg8bit_sim the rendered ones.

Objects that are ignored for low trust are unlabeled (0, trainId 255). Those that are ignored for
their size or for occlusion keep their class but have no instance, like Cityscapes' groups. Pixels
of the vehicle that carries the camera are "ego vehicle".
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import pixels_of
from realmaster_live.datasets.categories import CITYSCAPES, CITYSCAPES_LABELS, Categories
from realmaster_live.datasets.cityscapes_polygons import PER_CLASS, annotation_of
from realmaster_live.datasets.coverage import categories_for
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.labels import Picture, labelled
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.rules import LOW_TRUST, OWN_VEHICLE
from realmaster_live.datasets.selection import Selection, open_drives
from realmaster_live.datasets.summary import Summary
from realmaster_live.errors import ConfigError
from realmaster_live.optional import require

cv2 = require("cv2", extra="live")

FORMAT = "cityscapes"
NEEDS: tuple[str, ...] = ("semantic", "instance")

UNLABELED, EGO_VEHICLE = 0, 1
_TRAIN_IDS = np.full(256, 255, np.uint8)
_COLORS = np.zeros((256, 4), np.uint8)  # R, G, B and opacity
for _label in CITYSCAPES_LABELS:
    _TRAIN_IDS[_label.id] = _label.train_id
    _COLORS[_label.id] = (*_label.color, 255)
_COUNTED = frozenset(label.id for label in CITYSCAPES_LABELS if label.instances)


def export(
    selection: Selection,
    out: Path,
    *,
    options: ExportOptions | None = None,
    polygons: bool = False,
) -> Summary:
    """Write a selection as Cityscapes and return what was written.

    Args:
        selection: what to export.
        out: the folder to write.
        options: how to write it.
        polygons: write polygons.json too, which Cityscapes' viewer and label tool read.

    Raises:
        ConfigError: the folder, the selection or the categories cannot be used.
        RecordingError: a recording cannot be read, or the export cannot be written.
    """
    options = options or ExportOptions()
    given = options.categories or CITYSCAPES
    if not set(given.ids.values()) <= {label.id for label in CITYSCAPES_LABELS}:
        raise ConfigError(
            f"expected Cityscapes' own numbers in {given.name}, got "
            f"{sorted(given.ids.values())}: leave [ids] out and use its names"
        )
    drives = open_drives(selection, FORMAT, NEEDS)
    categories = categories_for(drives, options, CITYSCAPES, NEEDS, known=CITYSCAPES.ids)
    folder = ExportFolder(out, FORMAT, drives, selection, options, {"polygons": polygons})
    streams = ("semantic", "instance")
    for drive in drives:
        with folder.drive(drive) as tally, PictureFiles.of(folder, options) as files:
            if tally is None:
                continue
            town = drive.recording.meta.about.town
            city = re.sub("[^a-z0-9]", "", town.lower()) or "town"
            sequence = sum(cameras for _, cameras in folder.parts())
            for number, camera in enumerate(drive.cameras, start=sequence):
                for picture in labelled(drive, camera, selection, categories, tally, streams):
                    stem = f"{city}_{number:06d}_{picture.sample.frame.frame_id:06d}"
                    place = f"{drive.split}/{city}/{stem}"
                    for kind, pixels in picture.views(selection.variant):
                        tree = "leftImg8bit" + "_sim" * (kind not in (selection.variant, "real"))
                        files.write(out / tree / f"{place}_leftImg8bit.png", pixels)
                    maps = maps_of(picture, categories)
                    for name, map_ in maps.items():
                        files.write(out / "gtFine" / f"{place}_gtFine_{name}.png", map_)
                    if polygons:
                        text = json.dumps(annotation_of(maps["instanceIds"]))
                        files.write_text(out / "gtFine" / f"{place}_gtFine_polygons.json", text)
                    folder.note(stem, drive, picture.sample)
            folder.write_part(drive, len(drive.cameras))
    return folder.finish()


def maps_of(picture: Picture, categories: Categories) -> dict[str, NDArray[np.uint8 | np.uint16]]:
    """Return labelIds, labelTrainIds (H, W) uint8, instanceIds uint16, color (H, W, 4) uint8.

    The last channel of `color`, as in the original, is its opacity.
    """
    labels = picture.sample.frame.labels
    semantic = np.asarray(labels["semantic"], np.uint8)
    instance = np.asarray(labels["instance"], np.int32)
    table = np.maximum(categories.table(semantic), UNLABELED)
    ids = np.asarray(cv2.LUT(semantic, table.astype(np.uint8)), np.uint8)
    instances = ids.astype(np.uint16)
    counts: dict[int, int] = {}
    for label in picture.labels:
        one = label.annotation
        if one.visible is None:
            continue
        (left, top), mask = pixels_of(one, instance)
        part = np.s_[top : top + mask.shape[0], left : left + mask.shape[1]]
        number = categories.ids[label.category]
        if label.reason in (LOW_TRUST, OWN_VEHICLE):
            number = EGO_VEHICLE if label.reason == OWN_VEHICLE else UNLABELED
            ids[part][mask] = number
            instances[part][mask] = number
        elif label.fate == "keep" and number in _COUNTED:
            instances[part][mask] = number * PER_CLASS + counts.get(number, 0)
            counts[number] = counts.get(number, 0) + 1
    return {
        "labelIds": ids,
        "instanceIds": instances,
        "labelTrainIds": np.asarray(cv2.LUT(ids, _TRAIN_IDS), np.uint8),
        "color": _four_bytes(ids, _COLORS),
    }


def _four_bytes(
    ids: NDArray[np.uint8],  # (H, W)
    table: NDArray[np.uint8],  # (256, 4)
) -> NDArray[np.uint8]:
    """Return the four bytes (H, W, 4) of every id: OpenCV looks up one number of 32 bits."""
    found = np.asarray(cv2.LUT(ids, table.view(np.int32)), np.int32)
    return found.view(np.uint8).reshape(*ids.shape, 4)
