"""KITTI tracking: sequences of pictures, with the same number for an object in all of a sequence.

    out/training/image_02/0000/000000.png    frames of a sequence, from 0 on
    out/training/label_02/0000.txt           frame, track, class, boxes: a line for each object
    out/training/calib/0000.txt
    out/training/velodyne/0000/000000.bin    where a lidar was recorded; see kitti_ego
    out/training/oxts/0000.txt               a line a frame where GNSS was recorded
    out/evaluate_tracking.seqmap.train       the sequences of a split and their lengths
    out/frames.csv                           recording, frame, weather and trust of every picture

A sequence ends where frames are missing, so that trackers see one period between any two frames. In
a paired export image_02 holds the realized pictures, and image_02_sim the rendered ones. Axes,
boxes and DontCare are those of the detection benchmark (`kitti`); truncation is a level here: 0 not
cut off, 1 partly, 2 largely.
"""

from __future__ import annotations

from pathlib import Path

from realmaster_live.datasets.categories import KITTI
from realmaster_live.datasets.coverage import categories_for
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.kitti import as_rows, calibration_rows, dont_care, rows_of
from realmaster_live.datasets.kitti_ego import has_fix, lidar_of, mounts, oxts, velodyne
from realmaster_live.datasets.labels import Picture, labelled
from realmaster_live.datasets.options import SPLITS
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.selection import Selection, open_drives
from realmaster_live.datasets.sequences import in_sequences
from realmaster_live.datasets.summary import Summary
from realmaster_live.frames.chunk import Frame

FORMAT = "kitti_tracking"
NEEDS: tuple[str, ...] = ("instance",)
NO_TRACK = -1
CUT_FROM, LARGELY_CUT_FROM = 0.01, 0.5  # truncation from which an object has level 1 and level 2
# names in a calibration file of this benchmark, of which only the first four have a colon
NAMES = {"R0_rect": "R_rect", "Tr_velo_to_cam": "Tr_velo_cam", "Tr_imu_to_velo": "Tr_imu_velo"}


def export(
    selection: Selection,
    out: Path,
    *,
    options: ExportOptions | None = None,
    suffix: str = ".png",
) -> Summary:
    """Write a selection for KITTI's tracking benchmark and return what was written.

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
    categories = categories_for(drives, options, KITTI, NEEDS)
    folder = ExportFolder(out, FORMAT, drives, selection, options, {"suffix": suffix})
    training = out / "training"
    for drive in drives:
        with folder.drive(drive) as tally, PictureFiles.of(folder, options) as files:
            if tally is None:
                continue
            begun = sum(len(lengths) for _, lengths in folder.parts())
            lengths: dict[str, int] = {}
            lines: dict[str, list[str]] = {}
            fixes: dict[str, list[str]] = {}
            located: set[str] = set()  # sequences with a position
            for camera in drive.cameras:
                first = begun + len(lengths)
                pictures = labelled(drive, camera, selection, categories, tally)
                frames = ((picture.sample, picture) for picture in pictures)
                tracks: dict[int, int] = {}
                for number, place, sample, picture in in_sequences(frames, drive, selection):
                    name = f"{first + number:04d}"
                    if place == 0:
                        tracks = {}
                        text = calibration(sample.frame)
                        files.write_text(training / f"calib/{name}.txt", text)
                    lengths[name] = place + 1
                    for kind, pixels in picture.views(selection.variant):
                        images = "image_02" + "_sim" * (kind not in (selection.variant, "real"))
                        files.write(training / images / name / f"{place:06d}{suffix}", pixels)
                    lines.setdefault(name, []).extend(lines_of(picture, place, tracks))
                    fixes.setdefault(name, []).append(f"{oxts(sample.frame)}\n")
                    located |= {name} if has_fix(sample.frame) else set()
                    lidar = lidar_of(sample.frame)
                    if lidar is not None:
                        path = training / f"velodyne/{name}/{place:06d}.bin"
                        files.write_bytes(path, velodyne(lidar))
                    folder.note(f"{name}/{place:06d}", drive, sample)
            for name, written in lines.items():
                files.write_text(training / f"label_02/{name}.txt", "".join(written))
            for name in located:
                files.write_text(training / f"oxts/{name}.txt", "".join(fixes[name]))
            folder.write_part(drive, lengths)
    return _finish(folder)


def lines_of(picture: Picture, place: int, tracks: dict[int, int]) -> list[str]:
    """Return the lines of a frame; `tracks`, object -> number, gets those that are new."""
    lines = []
    for row in rows_of(picture):
        if row.thing is None:
            lines.append(f"{place} {NO_TRACK} {dont_care(row.box)}\n")
        else:
            track = tracks.setdefault(row.thing.object_id, len(tracks))
            cut = int(row.truncation >= CUT_FROM) + int(row.truncation >= LARGELY_CUT_FROM)
            fields = f"{row.category} {cut} {row.occlusion_level} {row.boxes}"
            lines.append(f"{place} {track} {fields}\n")
    return lines


def calibration(frame: Frame) -> str:
    """Return a calibration file in this benchmark's manner."""
    placed = as_rows(mounts(frame, lidar_of(frame)))
    rows = {**calibration_rows(tuple(frame.intrinsics.ravel().tolist())), **placed}
    return "".join(f"{NAMES.get(name, f'{name}:')} {text}\n" for name, text in rows.items())


def _finish(folder: ExportFolder) -> Summary:
    """Write the sequences of each split."""
    parts = list(folder.parts())
    for split in SPLITS:
        lengths = [part for drive, part in parts if drive.split == split]
        lines = [
            f"{name} empty 000000 {count:06d}\n"
            for name, count in sorted(item for one in lengths for item in one.items())
        ]
        if lines:
            folder.write_text(f"evaluate_tracking.seqmap.{split}", "".join(lines))
    return folder.finish()
