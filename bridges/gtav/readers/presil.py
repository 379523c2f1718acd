"""PreSIL: folders as KITTI's, of single pictures (`object`) or series of them (`tracking`).

`image_2/000012.png`, or `image_2/0003/000012.png` of a series, and under the same name: `depth/`
(.bin, the reverse-Z buffer in float32), `stencil/` (.raw, uint8), `calib/` (.txt, P2 is the
camera's), and `position_world/` (.txt: five rows of x y z, of the car, the camera, and the
camera's forward, right and up), where the harness was built to write it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.camera import (
    VFOV_DEG,
    intrinsics_from_vertical_fov,
    planar_depth_m,
    semantic_from_stencil,
)
from realmaster_live.bridges.gtav.readers.drive import Drive, ReadOptions, View, near_plane
from realmaster_live.bridges.gtav.readers.files import (
    SKEW,
    damaged,
    in_order,
    numbers_of,
    read_image,
    read_lines,
    read_numbers,
    read_raw,
    whole_labels,
    with_focal,
)
from realmaster_live.frames.geometry import skew_of

IMAGES = "image_2"
TRACKING_FPS = 25.0  # of series; single pictures are taken about once a second, at no steady rate


def find(folder: Path) -> list[Path]:
    """Return the folder itself, or image_2/SERIES of each series in it."""
    images = folder / IMAGES
    if not images.is_dir() or not any((folder / name).is_dir() for name in ("depth", "stencil")):
        return []
    if in_order(images.glob("*.png")):
        return [folder]
    series = (part for part in images.iterdir() if part.is_dir() and in_order(part.glob("*.png")))
    return in_order(series)


def home(path: Path) -> Path:
    """Return the folder that holds image_2."""
    return path.parent.parent if path.parent.name == IMAGES else path


def open_drive(path: Path, options: ReadOptions) -> Drive:
    """Return the drive of a path that `find` found."""
    root = home(path)
    series = "" if path == root else path.name
    pictures = in_order((root / IMAGES / series).glob("*.png"))
    stems = [picture.stem for picture in pictures]
    files = partial(_files, root, series, stems)
    sources = {"depth": files("depth", ".bin"), "semantic": files("stencil", ".raw")}
    labels = whole_labels(sources, options.labels, path)
    others = [*files("calib", ".txt"), *files("position_world", ".txt")]
    read = [file for each in (*sources.values(), others) for file in each if file.is_file()]
    height, width, _ = read_image(pictures[0]).shape
    size = (width, height)
    near_m = near_plane(options, root) if "depth" in labels else 0.0
    stencils = {file.stem: file for file in sources["semantic"] if file.is_file()}

    def views(wanted: Sequence[int]) -> Iterator[View]:
        for index in wanted:
            stem = stems[index]
            found: dict[str, NDArray[np.generic]] = {}
            stencil = None
            if stem in stencils:
                stencil = read_raw(stencils[stem], np.uint8, size)
            if "depth" in labels:
                ndc = read_raw(labels["depth"][index], "<f4", size)
                found["depth"] = planar_depth_m(ndc, near_m, stencil=stencil)
            if "semantic" in labels and stencil is not None:
                found["semantic"] = semantic_from_stencil(stencil)
            yield View(
                image=read_image(pictures[index], size),
                intrinsics=_camera(root / "calib" / series / f"{stem}.txt", size, options),
                cam_to_world=_pose(root / "position_world" / series / f"{stem}.txt"),
                labels=found,
            )

    return Drive(
        name=f"{root.name}-{series}" if series else root.name,
        path=path,
        size=size,
        numbers=numbers_of(stems),
        labels=tuple(labels),
        fps=TRACKING_FPS if series else None,
        files=(*pictures, *read),
        views=views,
    )


def _files(root: Path, series: str, stems: Sequence[str], name: str, suffix: str) -> list[Path]:
    return [root / name / series / f"{stem}{suffix}" for stem in stems]


def _camera(path: Path, size: tuple[int, int], options: ReadOptions) -> NDArray[np.float64]:
    """Return K of a calibration file, or of the field of view where there is none."""
    if options.vfov_deg is not None or not path.is_file():
        return intrinsics_from_vertical_fov(*size, options.vfov_deg or VFOV_DEG)
    for line in read_lines(path):
        key, _, numbers = line.partition(":")
        if key.strip() == "P2":
            return with_focal(read_numbers(numbers.split(), (3, 4), path)[:, :3], path)
    raise damaged(path, "a row P2", "none")


def _pose(path: Path) -> NDArray[np.float64]:
    """Return the (4, 4) camera-to-world of a position file; where there is none it stays."""
    pose = np.eye(4)
    if not path.is_file():
        return pose
    text = " ".join(read_lines(path)).split()
    _, position, forward, right, up = read_numbers(text, (5, 3), path)
    axes = np.stack((right, -up, forward), 1)
    if skew_of(axes) > SKEW:
        raise damaged(path, "forward, right and up at right angles", f"{axes.T.tolist()}")
    pose[:3, :3], pose[:3, 3] = axes, position
    return pose
