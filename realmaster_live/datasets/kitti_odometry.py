"""KITTI odometry: sequences of pictures with the camera's poses.

    out/sequences/00/image_2/000000.png    frames of a sequence, from 0 on
    out/sequences/00/{calib,times}.txt     projections; seconds since the first frame
    out/poses/00.txt                       a 3 x 4 matrix for each frame
    out/ImageSets/train.txt                the sequences of a split
    out/frames.csv                         recording, frame, weather and trust of every picture

A pose maps the axes of the camera at a frame to those at the first frame of its sequence: x right,
y down, z forward, metres. A sequence ends where frames are missing. In a paired export image_2
holds the realized pictures, and image_2_sim the rendered ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.kitti import calibration_rows
from realmaster_live.datasets.labels import kept_frames, views_of
from realmaster_live.datasets.options import SPLITS
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.selection import Selection, open_drives
from realmaster_live.datasets.sequences import in_sequences
from realmaster_live.datasets.summary import Summary
from realmaster_live.recording.sample import Sample

FORMAT = "kitti_odometry"
NEEDS: tuple[str, ...] = ()


class _Place(NamedTuple):
    """Time and place of a frame: `cam_to_world` (4, 4) metres, the nine values of K in pixels."""

    timestamp: float
    cam_to_world: NDArray[np.float64]
    intrinsics: tuple[float, ...]


def export(
    selection: Selection,
    out: Path,
    *,
    options: ExportOptions | None = None,
    suffix: str = ".png",
) -> Summary:
    """Write a selection for KITTI's odometry benchmark and return what was written.

    Args:
        selection: what to export.
        out: the folder to write.
        options: how to write it.
        suffix: suffix of the picture files: ".png" as in KITTI, or ".jpg".

    Raises:
        ConfigError: the folder or the selection cannot be used.
        RecordingError: a recording cannot be read, or the export cannot be written.
    """
    options = options or ExportOptions()
    drives = open_drives(selection, FORMAT, NEEDS)
    folder = ExportFolder(out, FORMAT, drives, selection, options, {"suffix": suffix})
    for drive in drives:
        with folder.drive(drive) as tally, PictureFiles.of(folder, options) as files:
            if tally is None:
                continue
            begun = sum(len(names) for _, names in folder.parts())
            kept: dict[str, list[_Place]] = {}
            for camera in drive.cameras:
                first = begun + len(kept)
                frames = ((one, None) for one in kept_frames(drive, camera, selection, tally))
                for number, place, sample, _ in in_sequences(frames, drive, selection):
                    name = f"{first + number:02d}"
                    for kind, picture in views_of(sample, selection.variant):
                        images = "image_2" + "_sim" * (kind not in (selection.variant, "real"))
                        path = out / f"sequences/{name}/{images}/{place:06d}{suffix}"
                        files.write(path, picture)
                    kept.setdefault(name, []).append(_place_of(sample))
                    folder.note(f"{name}/{place:06d}", drive, sample)
            for name, places in kept.items():
                texts = {
                    f"sequences/{name}/calib.txt": _calibration(places[0]),
                    f"sequences/{name}/times.txt": _times(places),
                    f"poses/{name}.txt": _poses(places),
                }
                for file, text in texts.items():
                    files.write_text(out / file, text)
            folder.write_part(drive, list(kept))
    return _finish(folder)


def _place_of(sample: Sample) -> _Place:
    frame = sample.frame
    return _Place(frame.timestamp, frame.cam_to_world, tuple(frame.intrinsics.ravel().tolist()))


def _calibration(place: _Place) -> str:
    """Return P0 to P3 and Tr, the axes of a laser scanner at the camera."""
    rows = calibration_rows(place.intrinsics)
    lines = [f"{name}: {rows[name]}\n" for name in ("P0", "P1", "P2", "P3")]
    return "".join([*lines, f"Tr: {rows['Tr_velo_to_cam']}\n"])


def _times(places: Sequence[_Place]) -> str:
    return "".join(f"{one.timestamp - places[0].timestamp:.6e}\n" for one in places)


def _poses(places: Sequence[_Place]) -> str:
    from_world = np.linalg.inv(places[0].cam_to_world)
    matrices = (from_world @ one.cam_to_world for one in places)
    return "".join(
        " ".join(f"{value:.9e}" for value in matrix[:3].ravel()) + "\n" for matrix in matrices
    )


def _finish(folder: ExportFolder) -> Summary:
    """Write the sequences of each split."""
    parts = list(folder.parts())
    for split in SPLITS:
        names = [name for drive, part in parts if drive.split == split for name in part]
        if names:
            folder.write_text(f"ImageSets/{split}.txt", "\n".join(sorted(names)) + "\n")
    return folder.finish()
