"""GTAVisionExport: pictures with depth, stencil and matrices, exported or as it took them.

Exported: `NAME.jpg`, `NAME-depth.png` (uint16, 65535 is a kilometre), `NAME-stencil.png`, and
`NAME.json` with the camera. As captured: `NAME.tiff` whose pages are colour, the reverse-Z depth
buffer in float32 and the stencil, or `NAME.tiff`, `NAME-depth.tiff`, `NAME-stencil.tiff`; a
`NAME.json` may lie beside them. Of several colour pages, one a weather, the first is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.camera import (
    SKY_M,
    STENCIL_ID,
    STENCIL_SKY,
    VFOV_DEG,
    cam_to_world,
    intrinsics_from_vertical_fov,
    planar_depth_m,
    semantic_from_stencil,
)
from realmaster_live.bridges.gtav.readers.drive import Drive, ReadOptions, View, near_plane
from realmaster_live.bridges.gtav.readers.files import (
    damaged,
    in_order,
    read_image,
    read_json,
    read_numbers,
    read_plain,
    read_view,
    whole_labels,
    with_focal,
)
from realmaster_live.bridges.gtav.readers.opengl import (
    from_view_matrix,
    intrinsics_of,
    near_of,
)
from realmaster_live.bridges.gtav.readers.tiff_pages import Pages, read_pages

DEPTH, STENCIL = "-depth", "-stencil"
COLOUR, TIFF = (".jpg", ".jpeg", ".png"), (".tiff", ".tif")
FULL_SCALE = 65535  # of exported depth
STAMP = re.compile(r"(\d{4}-\d\d-\d\d--\d\d-\d\d-\d\d)--(\d{1,3})")  # in a name, with milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """The files of one frame; paths of files that may be missing are included.

    Attributes:
        colour: the picture, or the TIFF. depth, stencil: their files, or the TIFF again.
        about: the JSON.
    """

    colour: Path
    depth: Path
    stencil: Path
    about: Path

    @property
    def is_tiff(self) -> bool:
        """Return whether the harness itself wrote it."""
        return self.colour.suffix.lower() in TIFF


def find(folder: Path) -> list[Path]:
    """Return the folder where shots lie in it."""
    return [folder] if _shots(folder) else []


def home(path: Path) -> Path:
    """Return the folder itself."""
    return path


def open_drive(path: Path, options: ReadOptions) -> Drive:
    """Return the drive of a folder."""
    shots = _shots(path)
    first = shots[0]
    if first.is_tiff:
        pages = _pages(first, None)
        height, width, _ = pages.colour.shape
        have = {"depth": pages.depth is not None, "semantic": pages.stencil is not None}
    else:
        height, width, _ = read_image(first.colour).shape
        have = {"depth": True, "semantic": True}
    size = (width, height)
    sources = {"depth": [s.depth for s in shots], "semantic": [s.stencil for s in shots]}
    wanted_labels = {name: files for name, files in sources.items() if have[name]}
    labels = tuple(whole_labels(wanted_labels, options.labels, path))

    def views(wanted: Sequence[int]) -> Iterator[View]:
        for index in wanted:
            shot = shots[index]
            optics, pose, near_m = _camera(_about(shot), shot.about, size, options)
            if shot.is_tiff and "depth" in labels and (near_m is None or options.near_m):
                near_m = near_plane(options, path)
            image, depth, stencil = _read(shot, size, near_m, labels)
            found: dict[str, NDArray[np.generic]] = {}
            if depth is not None:
                found["depth"] = depth
            if stencil is not None and "semantic" in labels:
                found["semantic"] = semantic_from_stencil(stencil)
            yield View(image=image, intrinsics=optics, cam_to_world=pose, labels=found)

    files = {file for s in shots for file in (s.colour, s.depth, s.stencil, s.about)}
    weather = _about(first).get("currentweather")
    return Drive(
        name=path.name,
        path=path,
        size=size,
        numbers=tuple(range(len(shots))),
        labels=labels,
        fps=_rate([shot.colour.stem for shot in shots]),
        files=tuple(sorted(file for file in files if file.is_file())),
        facts={"weather": str(weather)} if weather else {},
        views=views,
    )


def _shots(folder: Path) -> list[Shot]:
    """Return the frames of a folder in order: pictures that have depth or stencil, or TIFFs."""
    inside = [file for file in folder.iterdir() if file.is_file()]
    names = {file.name for file in inside}
    shots = []
    for file in in_order(inside):
        suffix, stem = file.suffix.lower(), file.stem
        if suffix not in (*COLOUR, *TIFF) or stem.endswith((DEPTH, STENCIL)):
            continue
        kind = file.suffix if suffix in TIFF else ".png"
        parts = [folder / f"{stem}{part}{kind}" for part in (DEPTH, STENCIL)]
        if suffix in TIFF:
            parts = [part if part.name in names else file for part in parts]
        elif not any(part.name in names for part in parts):
            continue
        about = file.with_suffix(".json")
        shots.append(Shot(colour=file, depth=parts[0], stencil=parts[1], about=about))
    return shots


def _read(
    shot: Shot, size: tuple[int, int], near_m: float | None, labels: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None, NDArray[np.uint8] | None]:
    """Return colour, depth in metres and stencil."""
    depth: NDArray[np.float32] | None = None
    stencil: NDArray[np.uint8] | None = None
    if shot.is_tiff:
        pages = _pages(shot, size)
        stencil = pages.stencil
        if "depth" in labels:
            if pages.depth is None or near_m is None:
                raise damaged(shot.depth, "a page of float32", "none")
            depth = planar_depth_m(pages.depth, near_m, stencil=stencil)
        if "semantic" in labels and stencil is None:
            raise damaged(shot.stencil, "a page of one channel of uint8", "none")
        return pages.colour, depth, stencil
    if shot.stencil.is_file():
        stencil = read_plain(shot.stencil, np.uint8, size)
    if "depth" in labels:
        stored = read_plain(shot.depth, np.uint16, size)
        depth = (stored * (SKY_M / FULL_SCALE)).astype(np.float32)
        if stencil is not None:
            depth[stencil & STENCIL_ID == STENCIL_SKY] = SKY_M
    return read_image(shot.colour, size), depth, stencil


def _pages(shot: Shot, size: tuple[int, int] | None) -> Pages:
    """Return the pages of a shot's TIFF or TIFFs."""
    return read_pages([*dict.fromkeys((shot.colour, shot.depth, shot.stencil))], size)


def _about(shot: Shot) -> dict[str, Any]:
    return read_json(shot.about) if shot.about.is_file() else {}


def _camera(
    about: Mapping[str, Any], path: Path, size: tuple[int, int], options: ReadOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64], float | None]:
    """Return K, camera-to-world and near plane of a frame; the last is None where it is not known.

    Matrices take precedence over position, rotation and field of view; without either the camera
    does not move.
    """
    width, height = size
    near_m = None
    optics = intrinsics_from_vertical_fov(
        width, height, options.vfov_deg or float(about.get("camera_fov", VFOV_DEG))
    )
    if "proj_matrix" in about:
        projection = read_numbers(about["proj_matrix"], (4, 4), path)
        near_m = near_of(projection)
        if options.vfov_deg is None:
            optics = with_focal(intrinsics_of(projection, width, height), path)
    if "view_matrix" in about:
        return optics, from_view_matrix(read_view(about["view_matrix"], path)), near_m
    if "camera_pos" in about and "camera_rot" in about:
        position = read_numbers(about["camera_pos"], (3,), path)
        return optics, cam_to_world(position, read_numbers(about["camera_rot"], (3,), path)), near_m
    return optics, np.eye(4), near_m


def _rate(stems: Sequence[str]) -> float | None:
    """Return the frames a second by the times in the names; None where there are none."""
    found = [match for stem in stems if (match := STAMP.search(stem))]
    if len(found) < max(len(stems), 2):
        return None
    whole = [datetime.strptime(match[1], "%Y-%m-%d--%H-%M-%S").timestamp() for match in found]
    step = float(np.median(np.diff(whole) + np.diff([int(match[2]) / 1e3 for match in found])))
    return round(1 / step, 3) if step > 0 else None
