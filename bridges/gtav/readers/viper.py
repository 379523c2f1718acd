"""VIPER ("Playing for Benchmarks"): sequences of a driven game with classes and instances.

`img/001/001_00042.jpg` or .png; under the same name `cls/` (.png, an indexed picture of its class
numbers) and `inst/` (.png: R the class, 256 G + B the instance); `camera/001.csv`: the number of
each frame, its projection and view matrix, 16 numbers each, row by row. Poses are relative to the
sequence's first frame, y up; here they begin at the origin of our world, looking along x. Depth is
not part of it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.camera import VFOV_DEG, intrinsics_from_vertical_fov
from realmaster_live.bridges.gtav.readers.drive import Drive, ReadOptions, View
from realmaster_live.bridges.gtav.readers.files import (
    PICTURES,
    damaged,
    in_order,
    of_size,
    read_image,
    read_lines,
    read_numbers,
    read_view,
    whole_labels,
    with_focal,
)
from realmaster_live.bridges.gtav.readers.opengl import from_view_matrix, intrinsics_of
from realmaster_live.errors import PairError
from realmaster_live.frames.classes import CLASS_IDS, THINGS
from realmaster_live.optional import require
from realmaster_live.system.inside import open_regular

IMAGES, CLASSES, INSTANCES, CAMERAS = "img", "cls", "inst", "camera"
FPS = 15.0  # approximately, according to its makers
LICENCE = "VIPER: research and education only; GTA-V footage, after Rockstar Games' terms"
NUMBER = re.compile(r"[0-9]{1,18}")
STEM = re.compile(r"(\d+)_(\d+)$")  # sequence and frame
# VIPER's classes 0 to 31, in its own order, as CARLA's
NAMES = (
    "unlabeled", "unlabeled", "sky", "road", "sidewalk", "rail_track", "terrain", "vegetation",
    "vegetation", "building", "static", "fence", "static", "traffic_light", "traffic_sign",
    "dynamic", "static", "dynamic", "dynamic", "dynamic", "pedestrian", "dynamic", "bicycle",
    "motorcycle", "car", "car", "bus", "truck", "truck", "train", "other", "other",
)  # fmt: skip
CARLA_CLASSES = np.zeros(256, np.uint8)
CARLA_CLASSES[: len(NAMES)] = [CLASS_IDS[name] for name in NAMES]
IS_THING = np.isin(np.arange(256), list(THINGS))
# from the first camera's x right, y up, z back to our world's x forward, y left, z up
FIRST = np.array([[0.0, 0, -1, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


def find(folder: Path) -> list[Path]:
    """Return img/SEQUENCE of each sequence in a folder."""
    images = folder / IMAGES
    others = (CLASSES, INSTANCES, CAMERAS)
    if not images.is_dir() or not any((folder / name).is_dir() for name in others):
        return []
    return [part for part in in_order(images.iterdir()) if part.is_dir() and _pictures(part)]


def home(path: Path) -> Path:
    """Return the folder that holds img."""
    return path.parent.parent


def open_drive(path: Path, options: ReadOptions) -> Drive:
    """Return the drive of a sequence."""
    root, sequence = home(path), path.name
    pictures = _pictures(path)
    stems = [picture.stem for picture in pictures]
    sources = {
        label: [root / name / sequence / f"{stem}.png" for stem in stems]
        for label, name in (("semantic", CLASSES), ("instance", INSTANCES))
    }
    labels = whole_labels(sources, options.labels, path)
    table = root / CAMERAS / f"{sequence}.csv"
    cameras = _read_cameras(table)
    numbers = tuple(int(stem.rpartition("_")[2]) for stem in stems)
    unknown = [number for number in numbers if cameras and number not in cameras]
    if unknown:
        raise damaged(table, f"a row of each frame of {path}", f"none of frame {unknown[0]}")
    height, width, _ = read_image(pictures[0]).shape
    size = (width, height)
    still = (intrinsics_from_vertical_fov(width, height, options.vfov_deg or VFOV_DEG), np.eye(4))

    def views(wanted: Sequence[int]) -> Iterator[View]:
        for index in wanted:
            optics, pose = still
            if cameras:
                projection, view = cameras[numbers[index]]
                optics = with_focal(intrinsics_of(projection, width, height), table)
                pose = FIRST @ from_view_matrix(view)
            found: dict[str, NDArray[np.generic]] = {}
            if "semantic" in labels:
                found["semantic"] = CARLA_CLASSES[_read_indexed(labels["semantic"][index], size)]
            if "instance" in labels:
                found["instance"] = instances(read_image(labels["instance"][index], size))
            yield View(
                image=read_image(pictures[index], size),
                intrinsics=optics,
                cam_to_world=pose,
                labels=found,
            )

    step = int(np.diff(numbers).min()) if len(numbers) > 1 else 1
    return Drive(
        name=f"{root.name}-{sequence}",
        path=path,
        size=size,
        numbers=numbers,
        labels=tuple(labels),
        fps=FPS / step,
        licence=LICENCE,
        files=(*pictures, *(file for each in labels.values() for file in each),
               *([table] if cameras else ())),
        views=views,
    )  # fmt: skip


def instances(inst: NDArray[np.uint8]) -> NDArray[np.int32]:  # (H, W, 3)
    """Return (H, W) int32 as our label `instance` of an instance picture."""
    classes = CARLA_CLASSES[inst[..., 0]]
    ids = inst[..., 1].astype(np.int32) * 256 + inst[..., 2]
    is_one = IS_THING[classes] & (ids > 0)
    return np.where(is_one, classes.astype(np.int32) << 16 | ids, 0).astype(np.int32)


def _pictures(folder: Path) -> list[Path]:
    return in_order(
        path for path in folder.iterdir() if path.suffix in PICTURES and STEM.match(path.stem)
    )


def _read_cameras(path: Path) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return frame -> projection and view; empty without a file."""
    if not path.is_file():
        return {}
    found = {}
    for row in csv.reader(read_lines(path)):
        if not row or NUMBER.fullmatch(row[0].strip()) is None:
            continue  # a heading
        matrices = read_numbers(row[1:], (2, 4, 4), path)
        found[int(row[0])] = (matrices[0], read_view(matrices[1], path))
    return found


def _read_indexed(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the numbers (H, W) of an indexed or grey picture, not the colours of its palette."""
    av: Any = require("av", extra="gta")
    try:
        with open_regular(path, error=PairError) as data, av.open(data) as file:
            frame = next(file.decode(video=0))
    except (OSError, ValueError, IndexError, StopIteration) as error:
        raise damaged(path, "an indexed picture", str(error) or "nothing") from error
    if frame.format.name not in ("pal8", "gray"):
        raise PairError(
            f"expected an indexed or grey picture of class numbers in {path}, got "
            f"{frame.format.name}: take VIPER's own cls folder, not a coloured copy"
        )
    array = frame.to_ndarray()
    return of_size(array[0] if isinstance(array, tuple) else array, path, size)
