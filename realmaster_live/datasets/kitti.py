"""KITTI object detection: pictures, labels with 2D and 3D boxes, and calibration.

    out/training/{image_2,label_2,calib}/000000.*  out/ImageSets/train.txt  out/frames.csv
    out/training/{velodyne,oxts}/000000.*  where a lidar and GNSS were recorded; see kitti_ego

In a paired export image_2 holds the realized pictures, and image_2_sim the rendered ones.

KITTI's camera axes are ours (x right, y down, z forward, metres). Its pixel centres are whole
numbers, so the principal point is half a pixel less than ours, and the last column and row of a box
belong to it. A 3D box rotates about the camera's y axis only, so a tilted one is written upright.
The 2D box is that of the visible pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import Annotation, Box
from realmaster_live.annotations.masks import RIDER, TWO_WHEELERS
from realmaster_live.datasets.categories import KITTI
from realmaster_live.datasets.coverage import categories_for
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.kitti_ego import ego_files, lidar_of, mounts
from realmaster_live.datasets.labels import Picture, labelled
from realmaster_live.datasets.options import SPLITS
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.selection import Selection, open_drives
from realmaster_live.datasets.summary import Summary
from realmaster_live.frames.objects import SceneObject

FORMAT = "kitti"
NEEDS: tuple[str, ...] = ("instance",)

CYCLIST = "Cyclist"
PARTLY_FROM, LARGELY_FROM = 0.1, 0.5  # occlusion from which an object has level 1 and level 2
UNKNOWN = "-1 -1 -1 -1000 -1000 -1000 -10"


def export(
    selection: Selection,
    out: Path,
    *,
    options: ExportOptions | None = None,
    suffix: str = ".png",
) -> Summary:
    """Write a selection for KITTI's object detection and return what was written.

    Objects that are ignored, and those without a known 3D box, are DontCare.

    Args:
        selection: what to export.
        out: the folder to write.
        options: how to write it.
        suffix: suffix of the picture files: ".png" as in KITTI, or ".jpg", which takes a quarter of
            the time.

    Raises:
        ConfigError: the folder or the selection cannot be used.
        RecordingError: a recording cannot be read, or the export cannot be written.
    """
    options = options or ExportOptions()
    drives = open_drives(selection, FORMAT, NEEDS)
    categories = categories_for(drives, options, KITTI, NEEDS)
    folder = ExportFolder(out, FORMAT, drives, selection, options, {"suffix": suffix})
    training = out / "training"
    for drive in drives:
        with folder.drive(drive) as tally, PictureFiles.of(folder, options) as files:
            if tally is None:
                continue
            first = sum(len(names) for _, names in folder.parts())
            names: list[str] = []
            for camera in drive.cameras:
                for picture in labelled(drive, camera, selection, categories, tally):
                    name = f"{first + len(names):06d}"
                    for kind, pixels in picture.views(selection.variant):
                        images = "image_2" if kind in (selection.variant, "real") else "image_2_sim"
                        files.write(training / images / f"{name}{suffix}", pixels)
                    frame = picture.sample.frame
                    files.write_text(training / f"label_2/{name}.txt", "".join(lines_of(picture)))
                    lidar = lidar_of(frame)
                    calibration = _calibration(frame.intrinsics, mounts(frame, lidar))
                    files.write_text(training / f"calib/{name}.txt", calibration)
                    for file, content in ego_files(frame, name, lidar=lidar):
                        files.write_bytes(training / file, content)
                    folder.note(name, drive, picture.sample)
                    names.append(name)
            folder.write_part(drive, names)
    return _finish(folder)


def lines_of(picture: Picture) -> Iterator[str]:
    """Yield the lines of a label file."""
    for one in rows_of(picture):
        if one.thing is None:
            yield f"{dont_care(one.box)}\n"
        else:
            cut = f"{one.truncation:.2f} {one.occlusion_level}"
            yield f"{one.category} {cut} {one.boxes}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRow:
    """An object of a label file.

    Attributes:
        category: KITTI's name. box: of the visible pixels.
        thing: the object with its box in the world; None for DontCare.
        truncation: 0 to 1. occlusion_level: 0 fully visible, 1 partly, 2 largely occluded.
        boxes: alpha, 2D box, height, width, length, x, y, z and rotation_y as text.
    """

    category: str
    box: Box
    thing: SceneObject | None
    truncation: float = 0.0
    occlusion_level: int = 0
    boxes: str = ""


def rows_of(picture: Picture) -> Iterator[LabelRow]:
    """Yield the objects of a picture.

    A rider and the two-wheeler below are one Cyclist with the two-wheeler's 3D box. It is kept if
    either of them is.
    """
    cam_to_world = picture.sample.frame.cam_to_world
    two_wheelers = {
        one.mask_id: one for one in picture.sample.annotations if one.class_id in TWO_WHEELERS
    }
    riders = {
        label.annotation.mask_id: label.annotation.visible
        for label in picture.labels
        if label.annotation.class_id == RIDER
    }
    written: set[int] = set()
    for label in (*picture.kept, *picture.ignored):
        one, category = label.annotation, label.category
        thing, box = one.thing, one.visible
        is_pair = one.mask_id in riders and one.mask_id in two_wheelers
        if is_pair and (one.class_id == RIDER or one.class_id in TWO_WHEELERS):
            if one.mask_id in written:
                continue
            written.add(one.mask_id)
            category = CYCLIST
            thing = two_wheelers[one.mask_id].thing
            box = _union(riders[one.mask_id], two_wheelers[one.mask_id].visible)
        assert box is not None
        if thing is None or label.fate == "ignore":
            yield LabelRow(category="DontCare", box=box, thing=None)
        else:
            yield LabelRow(
                category=category,
                box=box,
                thing=thing,
                truncation=one.truncation,
                occlusion_level=_level(one),
                boxes=_boxes(box, thing, cam_to_world),
            )


def _union(one: Box | None, other: Box | None) -> Box | None:
    if one is None or other is None:
        return one or other
    (left, top, right, bottom), (x, y, u, v) = one, other
    return min(left, x), min(top, y), max(right, u), max(bottom, v)


def _level(one: Annotation) -> int:
    """Return KITTI's occlusion level: 0 fully visible, 1 partly, 2 largely occluded."""
    return int(one.occlusion >= PARTLY_FROM) + int(one.occlusion >= LARGELY_FROM)


def dont_care(box: Box) -> str:
    """Return the fields of a region that neither trains nor tests a detector."""
    return f"DontCare -1 -1 -10 {_corners(box)} {UNKNOWN}"


def _corners(box: Box) -> str:
    left, top, right, bottom = box
    return f"{left:.2f} {top:.2f} {right - 1:.2f} {bottom - 1:.2f}"


def _boxes(box: Box, thing: SceneObject, cam_to_world: NDArray[np.float64]) -> str:
    """Return alpha, 2D box, height, width, length, x, y, z of the bottom centre, rotation_y."""
    object_to_camera = cam_to_world[:3, :3].T @ thing.object_to_world[:3, :3]
    middle = (thing.object_to_world[:3, 3] - cam_to_world[:3, 3]) @ cam_to_world[:3, :3]
    length, width, height = thing.size
    x, y, z = middle - object_to_camera[:, 2] * height / 2
    rotation_y = math.atan2(-object_to_camera[2, 0], object_to_camera[0, 0])
    alpha = math.remainder(rotation_y - math.atan2(x, z), 2 * math.pi)
    return (
        f"{alpha:.2f} {_corners(box)} {height:.2f} {width:.2f} {length:.2f} "
        f"{x:.2f} {y:.2f} {z:.2f} {rotation_y:.2f}"
    )


def _calibration(intrinsics: NDArray[np.float64], placed: Mapping[str, NDArray[np.float64]]) -> str:
    rows = {**calibration_rows(tuple(intrinsics.ravel().tolist())), **as_rows(placed)}
    return "".join(f"{name}: {numbers}\n" for name, numbers in rows.items())


@lru_cache(maxsize=64)  # a camera's intrinsics rarely change
def calibration_rows(intrinsics: tuple[float, ...]) -> Mapping[str, str]:
    """Return name -> numbers of a calibration file, with a laser scanner's axes at the camera.

    `intrinsics` are the nine values of K, row by row, in pixels.
    """
    camera = np.zeros((3, 4))
    camera[:, :3] = np.reshape(intrinsics, (3, 3))
    camera[:2, 2] -= 0.5
    to_camera = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]])
    rows = {f"P{number}": camera for number in range(4)}
    rows |= {"R0_rect": np.eye(3), "Tr_velo_to_cam": to_camera, "Tr_imu_to_velo": np.eye(3, 4)}
    return as_rows(rows)


def as_rows(matrices: Mapping[str, NDArray[np.float64]]) -> dict[str, str]:
    """Return name -> numbers of a calibration file."""
    return {
        name: " ".join(f"{value:.12e}" for value in matrix.ravel())
        for name, matrix in matrices.items()
    }


def _finish(folder: ExportFolder) -> Summary:
    """Write the picture numbers of each split."""
    parts = list(folder.parts())
    for split in SPLITS:
        numbers = sorted(name for drive, names in parts if drive.split == split for name in names)
        if numbers:
            folder.write_text(f"ImageSets/{split}.txt", "\n".join(numbers) + "\n")
    return folder.finish()
