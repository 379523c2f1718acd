"""CULane: the lane lines beside the camera's lane, as points in each picture.

    out/DRIVE-CAMERA.MP4/00042.jpg                   the pictures, by the simulator's frame number
    out/DRIVE-CAMERA.MP4/00042.lines.txt             x y x y ... of each line, from near to far
    out/laneseg_label_w16/DRIVE-CAMERA.MP4/00042.png     1 to 4 for the lines, 0 elsewhere
    out/list/train.txt  out/list/train_gt.txt        pictures; with labels and which lines exist
    out/frames.csv                                   recording, frame, weather, trust

CULane has up to four lines: the two beside the camera's lane and the next ones, numbered from left
to right. A line reaches from its first to its last visible point: as in CULane it goes on behind
what hides a part of it in between. In a paired export the folders hold the realized pictures, and
those ending in `_sim.MP4` the rendered ones with the same labels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.labels import kept_frames, views_of
from realmaster_live.datasets.lane_sight import SeenLine, seen_lines
from realmaster_live.datasets.options import SPLITS
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.road_map import road_map_of
from realmaster_live.datasets.selection import Selection, open_drives
from realmaster_live.datasets.summary import Summary
from realmaster_live.optional import require

cv2 = require("cv2", extra="live")

FORMAT = "culane"
NEEDS: tuple[str, ...] = ("depth",)
SIDES = (-2, -1, 1, 2)  # lines 1 to 4
ROW_STEP = 10  # pixels between two points of a line, in pictures of CULane's height
CULANE_HEIGHT, CULANE_WIDTH_PX = 590, 16  # its pictures' height, and the width of a line in a label
Line = NDArray[np.float64]  # (N, 2) columns and rows, from the bottom up


def export(selection: Selection, out: Path, *, options: ExportOptions | None = None) -> Summary:
    """Write the lane lines of a selection as CULane and return what was written.

    Raises:
        ConfigError: the folder or the selection cannot be used.
        RecordingError: a recording cannot be read, or holds no OpenDRIVE.
    """
    options = options or ExportOptions()
    drives = open_drives(selection, FORMAT, NEEDS)
    maps = {drive.name: road_map_of(drive) for drive in drives}  # before anything is written
    folder = ExportFolder(out, FORMAT, drives, selection, options)
    for drive in drives:
        with folder.drive(drive) as tally, PictureFiles.of(folder, options) as files:
            if tally is None:
                continue
            listed: list[str] = []
            for camera in drive.cameras:
                for sample in kept_frames(drive, camera, selection, tally, NEEDS):
                    lines = lines_of(seen_lines(maps[drive.name], sample), drive.size(camera))
                    label = drawn(lines, drive.size(camera))
                    exist = " ".join(str(int(line is not None)) for line in lines)
                    tally.labels["lane line"] += sum(line is not None for line in lines)
                    for kind, pixels in views_of(sample, selection.variant):
                        ending = "_sim" * (kind not in (selection.variant, "real"))
                        place = f"{drive.stems[camera]}{ending}.MP4/{sample.frame.frame_id:05d}"
                        files.write(out / f"{place}.jpg", pixels)
                        files.write_text(out / f"{place}.lines.txt", text_of(lines))
                        files.write(out / f"laneseg_label_w16/{place}.png", label)
                        listed.append(f"/{place}.jpg /laneseg_label_w16/{place}.png {exist}\n")
                        folder.note(f"{place}.jpg", drive, sample)
            folder.write_part(drive, listed)
    return _finish(folder)


def lines_of(seen: list[SeenLine], size: tuple[int, int]) -> tuple[Line | None, ...]:
    """Return the four lines of a picture of a size (width, height), None for those not there."""
    sides = {one.side: one for one in seen}
    return tuple(_by_rows(sides[side], size[1]) if side in sides else None for side in SIDES)


def _by_rows(one: SeenLine, height: int) -> Line | None:
    """Return a line's points at every tenth row of CULane's pictures, from the bottom up."""
    places = np.flatnonzero(one.visible)
    pixels = one.pixels[places[0] : places[-1] + 1]
    climbing = np.append(True, pixels[1:, 1] < np.minimum.accumulate(pixels[:, 1])[:-1])
    columns, rows = pixels[climbing][::-1].T
    wanted = np.arange(height, 0, -ROW_STEP * height / CULANE_HEIGHT)
    wanted = wanted[(wanted >= rows[0]) & (wanted <= rows[-1])]
    if len(wanted) < 2:
        return None
    return np.stack([np.interp(wanted, rows, columns), wanted], axis=1)


def text_of(lines: tuple[Line | None, ...]) -> str:
    """Return the content of a lines.txt."""
    texts = (" ".join(f"{x:.2f} {y:.2f}" for x, y in line) for line in lines if line is not None)
    return "".join(f"{text}\n" for text in texts)


def drawn(lines: tuple[Line | None, ...], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the label picture (H, W): each line's number from 1, in CULane's width."""
    width, height = size
    label = np.zeros((height, width), np.uint8)
    thickness = max(1, round(CULANE_WIDTH_PX * height / CULANE_HEIGHT))
    for number, line in enumerate(lines, start=1):
        if line is not None:
            points = (line - 0.5).round().astype(np.int32)
            cv2.polylines(label, [points], False, number, thickness)
    return label


def _finish(folder: ExportFolder) -> Summary:
    """Write the lists of each split."""
    parts = list(folder.parts())
    for split in SPLITS:
        listed = [row for drive, part in parts if drive.split == split for row in part]
        if listed:
            pictures = [row.split(" ")[0] + "\n" for row in listed]
            folder.write_text(f"list/{split}.txt", "".join(pictures))
            folder.write_text(f"list/{split}_gt.txt", "".join(listed))
    return folder.finish()
