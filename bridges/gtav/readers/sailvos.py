"""SAIL-VOS 3D: cut scenes of the game, each a folder.

`images/%018d.bmp`, `depth/%018d.npy`, `camera/%018d.yaml` and `rage_matrices/%018d.npz`; a scene's
frames are those that have a picture and a camera. `K` counts its principal point from the middle
of the picture, `Rt` takes the world to OpenGL's camera axes. With P_inv of the matrices and rows
as vectors, a pixel's camera point is (x, y, d / 6 - 4e-5, 1) @ P_inv, where x and y run from -1 to
1 from the first to the last pixel's centre.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.camera import SKY_M
from realmaster_live.bridges.gtav.readers.drive import Drive, ReadOptions, View
from realmaster_live.bridges.gtav.readers.files import (
    REMEDY,
    damaged,
    in_order,
    numbers_of,
    of_size,
    read_image,
    read_numbers,
    read_view,
    whole_labels,
    with_focal,
)
from realmaster_live.bridges.gtav.readers.opengl import from_view_matrix
from realmaster_live.errors import PairError
from realmaster_live.optional import require
from realmaster_live.system.arrays import read_array
from realmaster_live.system.inside import open_regular
from realmaster_live.system.texts import decode_text

LICENCE = "SAIL-VOS 3D: non-commercial use only; GTA-V footage, after Rockstar Games' terms"
SCALE, OFFSET = 6.0, 4e-5  # of stored depth: buffer = stored / SCALE - OFFSET
SKY = 24e-5

MAX_BYTES = 64 << 10  # a camera's file has about one
MAX_DEPTH = 8
MAX_ALIASES = 16  # each may multiply the size of the one before it


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a file's mapping; PairError where it is none, or over one of the limits."""
    yaml = require("yaml", extra="gta")
    try:
        if not path.is_file():
            raise ValueError("no regular file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        text = decode_text(data)
        depth = aliases = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > MAX_DEPTH or aliases > MAX_ALIASES:
                raise ValueError(f"more than {MAX_DEPTH} levels or {MAX_ALIASES} aliases")
        mapping = yaml.safe_load(text)
    # a number or a date that cannot be is a ValueError or an OverflowError of Python's own
    except (OSError, ValueError, OverflowError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise damaged(path, "a camera in YAML", " ".join(str(error).split())[:200]) from error
    if not isinstance(mapping, dict):
        raise damaged(path, "a camera in YAML", type(mapping).__name__)
    return mapping


def find(folder: Path) -> list[Path]:
    """Return the folder where it is a scene with pictures."""
    images, cameras = folder / "images", folder / "camera"
    is_scene = cameras.is_dir() and images.is_dir() and in_order(cameras.glob("*.yaml"))
    return [folder] if is_scene and in_order(images.glob("*.bmp")) else []


def home(path: Path) -> Path:
    """Return the folder of all scenes."""
    return path.parent


def open_drive(path: Path, options: ReadOptions) -> Drive:
    """Return the drive of a scene."""
    pictures = in_order((path / "images").glob("*.bmp"))
    pictures = [file for file in pictures if (path / "camera" / f"{file.stem}.yaml").is_file()]
    if not pictures:
        raise damaged(path, "pictures with a camera of the same name", "none")
    stems = [picture.stem for picture in pictures]
    cameras = [path / "camera" / f"{stem}.yaml" for stem in stems]
    matrices = [path / "rage_matrices" / f"{stem}.npz" for stem in stems]
    depths = [path / "depth" / f"{stem}.npy" for stem in stems]
    needed = ({"depth": depths}, {"depth": matrices})  # the depth of a frame takes both
    with_depth = all([whole_labels(files, options.labels, path) for files in needed])
    height, width, _ = read_image(pictures[0]).shape
    size = (width, height)

    def views(wanted: Sequence[int]) -> Iterator[View]:
        for index in wanted:
            optics, pose = _camera(cameras[index], size)
            found = {}
            if with_depth:
                stored = _depth(depths[index], size)
                found["depth"] = metres(stored, _inverse(matrices[index]))
            yield View(
                image=read_image(pictures[index], size),
                intrinsics=optics,
                cam_to_world=pose,
                labels=found,
            )

    return Drive(
        name=path.name,
        path=path,
        size=size,
        numbers=numbers_of(stems),
        labels=("depth",) if with_depth else (),
        fps=None,
        licence=LICENCE,
        files=(*pictures, *cameras, *((*depths, *matrices) if with_depth else ())),
        views=views,
    )


def metres(
    stored: NDArray[np.floating],  # (H, W) as in the files
    inverse: NDArray[np.float64],  # (4, 4) P_inv, for rows as vectors
) -> NDArray[np.float32]:
    """Return (H, W) metres along the optical axis; SKY_M in the sky."""
    height, width = stored.shape
    x = 2 * np.arange(width) / max(width - 1, 1) - 1
    y = 1 - 2 * np.arange(height)[:, None] / max(height - 1, 1)
    buffer = stored.astype(np.float64) / SCALE - OFFSET
    z, w = (x * a + y * b + buffer * c + d for a, b, c, d in (inverse[:, 2], inverse[:, 3]))
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = -z / w
    drawn = ~np.isclose(stored, SKY, rtol=1e-5, atol=0) & (depth > 0) & (depth < SKY_M)
    return np.where(drawn, depth, SKY_M).astype(np.float32)


def _camera(
    path: Path, size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # K, camera-to-world
    camera = read_yaml(path)
    if "K" not in camera or "Rt" not in camera:
        raise damaged(path, "K and Rt", ", ".join(map(str, camera))[:80] or "nothing")
    optics = read_numbers(camera["K"], (3, 3), path)
    optics[:2, 2] += np.array(size) / 2
    pose = np.vstack((read_numbers(camera["Rt"], (3, 4), path), [0, 0, 0, 1]))
    return with_focal(optics, path), from_view_matrix(read_view(pose, path))


def _depth(path: Path, size: tuple[int, int]) -> NDArray[np.floating]:
    """Return the stored depth (H, W)."""
    stored = read_array(path, error=PairError, remedy=REMEDY)
    if stored.ndim != 2 or stored.dtype.kind not in "fiu":
        raise damaged(path, "an array (H, W) of numbers", f"{stored.dtype} {stored.shape}")
    return of_size(stored, path, size)


def _inverse(path: Path) -> NDArray[np.float64]:
    try:
        with open_regular(path, error=PairError) as file:
            inverse = np.load(file, allow_pickle=False)["P_inv"]
    except Exception as error:  # NumPy parses a header as Python, which may fail in any way
        raise damaged(path, "an array P_inv", str(error)) from error
    return read_numbers(inverse, (4, 4), path)
