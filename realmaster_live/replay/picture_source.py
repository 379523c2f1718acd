"""A folder of pictures as a source, with poses and labels where they lie beside them.

`about.json` may say fps, fov_deg, where it is from, and `cam_to_world`: 16 numbers a picture, row
by row, in our axes. A folder named after a label may hold one file a picture, of the picture's
name: `depth/0007.npy` and so on for 0007.png, or
`semantic/0007.png` with CARLA's class numbers in grey.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.frames.chunk import LABEL_DTYPES, Frame
from realmaster_live.frames.geometry import pinhole, skew_of
from realmaster_live.replay.footage import FOV_DEG, Footage, Reading, hash_files
from realmaster_live.replay.picture_files import list_pictures
from realmaster_live.replay.sidecar import POSES, read_sidecar
from realmaster_live.system.arrays import read_array
from realmaster_live.system.colour_profiles import colours_of
from realmaster_live.system.contents import classify_file
from realmaster_live.system.pictures import read_map, read_picture

log = logging.getLogger(__name__)
CAMERA = "front"
SKEW = 1e-3  # tolerated between the axes of a pose, which may be written with few digits


def describe_pictures(path: Path, reading: Reading) -> Footage:
    """Return what a folder of pictures says of itself.

    Raises:
        ConfigError: its frames a second are not known. PairError: a file cannot be read.
    """
    pictures, facts = list_pictures(path), read_sidecar(path)
    fps = reading.fps or facts.get("fps")
    if fps is None:
        raise ConfigError(
            f"expected the frames a second of the pictures in {path}, got none: give --fps, or "
            'write {"fps": 20} to an about.json in it'
        )
    _poses(facts.pop(POSES, []), len(pictures), path)
    wanted = LABEL_DTYPES if reading.labels is None else reading.labels
    labels = {
        name: _label_files(path / name, pictures) for name in wanted if (path / name).is_dir()
    }
    height, width, _ = read_picture(pictures[0]).shape
    colours = colours_of(pictures[0].read_bytes())
    if colours:
        log.warning(
            "%s: the pictures have the colour profile %r, which is not converted: their colours "
            "are taken for sRGB's, so convert them first",
            path,
            colours,
        )
    sidecar = [path / "about.json"] if (path / "about.json").exists() else []
    return Footage(
        kind="pictures",
        name=path.resolve().name,
        path=str(path.resolve()),
        cameras={CAMERA: (width, height)},
        fps=float(fps),
        frames=len(pictures),
        sha256=hash_files(*pictures, *sidecar, *chain.from_iterable(labels.values())),
        origin={"simulator": "pictures", "route": path.resolve().name, **facts},
        options={"fov_deg": float(facts.get("fov_deg", FOV_DEG)), "labels": sorted(labels)},
    )


def picture_frames(footage: Footage) -> Iterator[Frame]:
    """Yield the pictures of a folder; without poses, the camera stays.

    Raises:
        PairError: a picture or a label cannot be read.
    """
    folder = Path(footage.path)
    pictures = list_pictures(folder)
    poses = _poses(read_sidecar(folder).get(POSES, []), len(pictures), folder)
    labels = {n: _label_files(folder / n, pictures) for n in footage.options["labels"]}
    width, height = footage.cameras[CAMERA]
    optics = pinhole(width, height, footage.options["fov_deg"])
    for index, path in enumerate(pictures):
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
            labels={name: _read_label(files[index], name, image) for name, files in labels.items()},
        )


def _poses(given: list[Any], pictures: int, folder: Path) -> NDArray[np.float64]:  # (T, 4, 4)
    """Return the pose of every picture; the identity where none is given."""
    poses = np.tile(np.eye(4), (pictures, 1, 1))
    if not given:
        return poses
    numbers = np.array(list(_flat(given)), np.float64)
    got = f"{numbers.size} for {pictures} pictures"
    if numbers.size == 16 * pictures:
        poses = numbers.reshape(-1, 4, 4)
        bad = skew_of(poses[:, :3, :3]) > SKEW
        bad |= np.abs(poses[:, 3] - (0, 0, 0, 1)).max(1) > SKEW
        if not bad.any():
            return poses
        got = f"{poses[bad][0].tolist()}"
    raise PairError(
        f"expected 16 numbers a picture, a rotation and a place row by row, in {POSES} of "
        f"{folder / 'about.json'}, got {got}: mend it or leave it out"
    )


def _flat(values: Any) -> Iterator[float]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


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
    shape = (*image.shape[:2], *((2,) if name == "flow" else ()))
    got, cure = "another kind of file", f"write it again, as .npy of {LABEL_DTYPES[name]}"
    if path.suffix == ".png" and name == "semantic":
        label = read_map(path, "grey")
    elif path.suffix == ".npy":
        label = read_array(path, error=PairError, remedy="write it again")
    else:
        label = np.empty(0)
        got, cure = classify_file(path, got, cure)
    wanted = np.dtype(LABEL_DTYPES[name])
    if label.size:
        got = f"an array of {label.shape}"
    if label.shape == shape and label.size:
        got = _problem(label, wanted)
        if not got:
            return np.asarray(label, wanted)
    raise PairError(f"expected the {name} of {shape} in {path}, got {got}: {cure}")


def _problem(label: NDArray[Any], wanted: np.dtype[Any]) -> str:
    """Return which values a label cannot have; empty where there are none."""
    if label.dtype.kind not in "iuf" or (wanted.kind != "f" and label.dtype.kind == "f"):
        return f"values of type {label.dtype}"
    if wanted.kind == "f":
        return "" if np.isfinite(label).all() else "values that are not finite"
    low, high = int(label.min()), int(label.max())
    fits = np.iinfo(wanted).min <= low and high <= np.iinfo(wanted).max
    return "" if fits else f"values from {low} to {high}"
