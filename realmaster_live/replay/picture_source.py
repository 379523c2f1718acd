"""A folder of pictures as a source, with poses and labels where they lie beside them.

`about.json` may say fps, fov_deg, where it is from, and `cam_to_world`: 16 numbers a picture, row
by row, in our axes. A folder named after a label may hold one file a picture, of the picture's
name: `depth/0007.npy` and so on for 0007.png, or
`semantic/0007.png` with CARLA's class numbers in grey.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.frames.chunk import LABEL_DTYPES, Frame
from realmaster_live.frames.geometry import pinhole
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.replay.footage import FOV_DEG, Footage, Reading, info_of, sha256_of
from realmaster_live.replay.picture_files import list_pictures
from realmaster_live.replay.sidecar import told_beside
from realmaster_live.system.pictures import read_map, read_picture

CAMERA = "front"
POSES = "cam_to_world"


def describe_pictures(path: Path, reading: Reading) -> Footage:
    """Return what a folder of pictures says of itself.

    Raises:
        ConfigError: nothing tells its frames a second. PairError: a file cannot be read.
    """
    pictures, told = list_pictures(path), told_beside(path)
    fps = reading.fps or told.get("fps")
    if not isinstance(fps, int | float) or not fps > 0:
        raise ConfigError(
            f"expected the frames a second of the pictures in {path}, got {fps}: give --fps, or "
            'write {"fps": 20} to an about.json in it'
        )
    poses = np.array(told.pop(POSES, []), np.float64)
    if poses.size and poses.size != 16 * len(pictures):
        raise PairError(
            f"expected 16 numbers a picture in {POSES} of {path / 'about.json'}, got {poses.size} "
            f"for {len(pictures)} pictures: mend it or leave it out"
        )
    wanted = LABEL_DTYPES if reading.labels is None else reading.labels
    labels = {
        name: _label_files(path / name, pictures) for name in wanted if (path / name).is_dir()
    }
    height, width, _ = read_picture(pictures[0]).shape
    sidecar = [path / "about.json"] if (path / "about.json").exists() else []
    return Footage(
        kind="pictures",
        name=path.resolve().name,
        path=str(path.resolve()),
        cameras={CAMERA: (width, height)},
        fps=float(fps),
        frames=len(pictures),
        sha256=sha256_of(*pictures, *sidecar, *(file for each in labels.values() for file in each)),
        told={"simulator": "pictures", "route": path.resolve().name, **told},
        options={"fov_deg": float(told.get("fov_deg", FOV_DEG)), "labels": sorted(labels)},
    )


class PictureFolder:
    """A source of the pictures of a folder; where no pose is told, the camera stays."""

    def __init__(self, footage: Footage) -> None:
        self._footage = footage
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """What is known of where the pictures are from."""
        return info_of(self._footage)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order; PairError names a picture that cannot be read."""
        footage, folder = self._footage, Path(self._footage.path)
        pictures = list_pictures(folder)
        told = np.array(told_beside(folder).get(POSES, []), np.float64)
        poses = told.reshape(-1, 4, 4) if told.size else np.tile(np.eye(4), (len(pictures), 1, 1))
        labels = {n: _label_files(folder / n, pictures) for n in footage.options["labels"]}
        width, height = footage.cameras[CAMERA]
        optics = pinhole(width, height, footage.options["fov_deg"])
        for index, path in enumerate(pictures):
            if self._closed:
                return
            image = read_picture(path)
            if image.shape[:2] != (height, width):
                raise PairError(
                    f"expected pictures of {width}x{height} as the first, got "
                    f"{image.shape[1]}x{image.shape[0]} in {path}: leave it out or resize it"
                )
            yield Frame(
                camera=CAMERA,
                frame_id=index,
                timestamp=index / footage.fps,
                captured_at=time.monotonic(),
                image=image,
                intrinsics=optics,
                cam_to_world=poses[index],
                labels={
                    name: _read_label(files[index], name, image) for name, files in labels.items()
                },
            )

    def close(self) -> None:
        """End `frames`; may be called twice."""
        self._closed = True


def _label_files(folder: Path, pictures: list[Path]) -> list[Path]:
    """Return one file a picture; PairError where one is missing."""
    files = []
    for picture in pictures:
        found = [folder / f"{picture.stem}{suffix}" for suffix in (".npy", ".png")]
        there = [path for path in found if path.is_file()]
        if not there:
            raise PairError(
                f"expected {found[0].name} or {found[1].name} in {folder}, got neither: add the "
                "label of that picture or move the folder away"
            )
        files.append(there[0])
    return files


def _read_label(path: Path, name: str, image: NDArray[np.uint8]) -> NDArray[np.generic]:
    label: Any = None
    if path.suffix == ".png" and name == "semantic":
        label = read_map(path, "grey")
    elif path.suffix == ".npy":
        try:
            label = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise PairError(f"expected a label in {path}, got {error}: write it again") from error
    depth = (2,) if name == "flow" else ()
    if label is None or label.shape != (*image.shape[:2], *depth):
        got = "another kind of file" if label is None else f"an array of {label.shape}"
        raise PairError(
            f"expected the {name} of {(*image.shape[:2], *depth)} in {path}, got {got}: write it "
            "again, as .npy"
        )
    return np.asarray(label, LABEL_DTYPES[name])
