"""YOLO: one text file a picture, boxes or outlines as shares of the picture's size.

    out/images/sim/train/NAME.jpg  out/labels/sim/train/NAME.txt  out/data-sim.yaml

`yolo detect train data=out/data-sim.yaml` takes it as it is: its paths are relative to the file,
and trainers demand `train` and `val`, so that a split that was not exported names another one.

Loaders find the labels of a picture by putting "labels" for "images" in its path, so that a paired
export holds the same labels below sim and real. What is ignored is left out: the format has no
mark for it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import pixels_of
from realmaster_live.datasets.categories import YOLO, Categories
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.labels import Label, labelled
from realmaster_live.datasets.options import SPLITS, Split
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.selection import PICTURES, Selection, open_drives
from realmaster_live.datasets.summary import Summary
from realmaster_live.errors import ConfigError
from realmaster_live.optional import require

cv2 = require("cv2", extra="live")

FORMAT = "yolo"
NEEDS: tuple[str, ...] = ("instance",)
DEMANDED: tuple[Split, ...] = ("train", "val")  # by trainers, in every description


def export(
    selection: Selection,
    out: Path,
    *,
    options: ExportOptions | None = None,
    segments: bool = False,
) -> Summary:
    """Write a selection for YOLO and return what was written.

    Args:
        selection: what to take.
        out: the folder.
        options: how to write.
        segments: outlines of the masks instead of boxes. The parts of a thing are joined by lines
            that are drawn twice, there and back, because loaders want one outline a thing.

    Raises:
        ConfigError: the folder, the selection or the categories cannot be used.
        RecordingError: a recording cannot be read, or the export not be written.
    """
    options = options or ExportOptions()
    categories = options.categories or YOLO
    if sorted(categories.ids.values()) != list(range(len(categories.ids))):
        raise ConfigError(
            f"expected category numbers from 0 on without a gap in {categories.name}, got "
            f"{sorted(categories.ids.values())}: leave [ids] out"
        )
    drives = open_drives(selection, FORMAT, NEEDS)
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
                    for kind, pixels in picture.views(selection.variant):
                        name = f"{kind}/{drive.split}/{picture.stem}"
                        files.write(out / f"images/{name}.jpg", pixels)
                        files.write_text(out / f"labels/{name}.txt", "".join(lines))
    summary = folder.finish()
    for kind in PICTURES[selection.variant]:
        folder.write_text(f"data-{kind}.yaml", _yaml(kind, summary, categories))
    return summary


def _numbers(label: Label, size: tuple[int, int], instance: NDArray[Any] | None) -> str:
    """Return a box (middle, size) or an outline as shares of the picture's size."""
    visible = label.annotation.visible
    assert visible is not None
    if instance is None:
        left, top, right, bottom = visible
        middle, extent = ((left + right) / 2, (top + bottom) / 2), (right - left, bottom - top)
        points = np.array([middle, extent])
    else:
        at, mask = pixels_of(label.annotation, np.asarray(instance, np.int32))
        points = outline(mask) + at
    return " ".join(f"{value:.6f}" for value in (points / size).ravel())


def outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (N, 2) the outline of a mask (H, W), x and y in pixels, through its pixels' middles.

    Parts are joined by lines that are drawn there and back, and so enclose nothing.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    parts = [part.reshape(-1, 2) for part in found]
    closed = [np.concatenate([part, part[:1]]) for part in parts]
    way_back = [part[:1] for part in parts[-2:0:-1]]
    return np.asarray(np.concatenate([*closed, *way_back]) + 0.5)


def _yaml(kind: str, summary: Summary, categories: Categories) -> str:
    """Return the description that trainers ask for; without a path it is where this file lies."""
    found = {drive.split for drive in summary.drives.values() if drive.frames}
    lines = []
    for split in SPLITS:
        if split in found:
            lines.append(f"{split}: images/{kind}/{split}")
        elif split in DEMANDED:
            stand_in = next(one for one in (*DEMANDED, "test") if one in found)
            lines.append(f"# no recording was exported for {split}: see --split")
            lines.append(f"{split}: images/{kind}/{stand_in}")
    names = sorted(categories.ids.items(), key=lambda item: item[1])
    lines += ["names:", *(f"  {number}: {json.dumps(name)}" for name, number in names)]
    return "\n".join(lines) + "\n"
