"""YOLO: one text file for each picture, with boxes or outlines relative to the picture's size.

    out/images/sim/train/NAME.jpg  out/labels/sim/train/NAME.txt  out/data-sim.yaml

`yolo detect train data=out/data-sim.yaml` reads it directly. Its paths are relative to the file.
Trainers require `train` and `val`; if one of them was not exported, it points to another split.

Loaders find the labels of a picture by replacing "images" in its path by "labels", so a paired
export holds the same labels below sim and real. Ignored labels are left out, because the format has
no mark for them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import pixels_of
from realmaster_live.datasets.categories import YOLO, Categories
from realmaster_live.datasets.coverage import categories_for
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.labels import Label, labelled
from realmaster_live.datasets.options import SPLITS, Split
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.polygons import joined_outline
from realmaster_live.datasets.selection import PICTURES, Selection, open_drives
from realmaster_live.datasets.summary import Summary
from realmaster_live.errors import ConfigError

FORMAT = "yolo"
NEEDS: tuple[str, ...] = ("instance",)
REQUIRED_SPLITS: tuple[Split, ...] = ("train", "val")  # trainers expect them in every data.yaml


def export(
    selection: Selection,
    out: Path,
    *,
    options: ExportOptions | None = None,
    segments: bool = False,
) -> Summary:
    """Write a selection for YOLO and return what was written.

    Args:
        selection: what to export.
        out: the folder to write.
        options: how to write it.
        segments: write outlines of the masks instead of boxes. Loaders expect one outline for each
            object, so the parts of a mask are joined by lines of no area.

    Raises:
        ConfigError: the folder, the selection or the categories cannot be used.
        RecordingError: a recording cannot be read, or the export cannot be written.
    """
    options = options or ExportOptions()
    given = options.categories or YOLO
    if sorted(given.ids.values()) != list(range(len(given.ids))):
        raise ConfigError(
            f"expected category numbers from 0 on without a gap in {given.name}, got "
            f"{sorted(given.ids.values())}: leave [ids] out"
        )
    drives = open_drives(selection, FORMAT, NEEDS)
    categories = categories_for(drives, options, YOLO, NEEDS)
    folder = ExportFolder(out, FORMAT, drives, selection, options, {"segments": segments})
    streams = ("instance",) if segments else ()
    for drive in drives:
        with folder.drive(drive) as tally, PictureFiles.of(folder, options) as files:
            if tally is None:
                continue
            for camera in drive.cameras:
                size = drive.size(camera)
                for picture in labelled(drive, camera, selection, categories, tally, streams):
                    instance = picture.sample.frame.labels.get("instance")
                    lines = [
                        f"{categories.ids[label.category]} {_numbers(label, size, instance)}\n"
                        for label in picture.kept
                    ]
                    folder.note(picture.stem, drive, picture.sample)
                    for kind, pixels in picture.views(selection.variant):
                        name = f"{kind}/{drive.split}/{picture.stem}"
                        files.write(out / f"images/{name}.jpg", pixels)
                        files.write_text(out / f"labels/{name}.txt", "".join(lines))
    summary = folder.finish()
    for kind in PICTURES[selection.variant]:
        folder.write_text(f"data-{kind}.yaml", _yaml(kind, summary, categories))
    return summary


def _numbers(label: Label, size: tuple[int, int], instance: NDArray[Any] | None) -> str:
    """Return a box (centre, size) or an outline relative to the picture's size."""
    visible = label.annotation.visible
    assert visible is not None
    if instance is None:
        left, top, right, bottom = visible
        middle, extent = ((left + right) / 2, (top + bottom) / 2), (right - left, bottom - top)
        points = np.array([middle, extent])
    else:
        at, mask = pixels_of(label.annotation, np.asarray(instance, np.int32))
        points = joined_outline(mask) + 0.5 + at
    return " ".join(f"{value:.6f}" for value in (points / size).ravel())


def _yaml(kind: str, summary: Summary, categories: Categories) -> str:
    """Return the data.yaml for trainers; without `path`, its paths are relative to its folder."""
    found = {drive.split for drive in summary.drives.values() if drive.frames}
    lines = []
    for split in SPLITS:
        if split in found:
            lines.append(f"{split}: images/{kind}/{split}")
        elif split in REQUIRED_SPLITS:
            stand_in = next(one for one in (*REQUIRED_SPLITS, "test") if one in found)
            lines.append(f"# no recording was exported for {split}: see --split")
            lines.append(f"{split}: images/{kind}/{stand_in}")
    names = sorted(categories.ids.items(), key=lambda item: item[1])
    lines += ["names:", *(f"  {number}: {json.dumps(name)}" for name, number in names)]
    return "\n".join(lines) + "\n"
