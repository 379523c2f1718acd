"""OpenLane: lane lines in 3D and in the picture, one JSON file for each picture.

    out/images/training/segment-DRIVE-CAMERA-0/000042.jpg
    out/lane3d/training/segment-DRIVE-CAMERA-0/000042.json
    out/scene/scene.json      weather, town, route, prompt, licence and trust of every picture

Splits are `training`, `validation` and `test`. A segment is an uninterrupted part of a drive, and a
file is named by the simulator's frame number. In a paired export `images` holds the realized
pictures, and `images_sim` the rendered ones.

As in OpenLane, `xyz` and `extrinsic` have cameras' axes x forward, y left, z up; `uv` and
`intrinsic` are ours. `visibility` is 0 where the recorded depth says that something hides the
point. `track_id` is the number of the line in the town, so it is the same in all of a drive.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.datasets.ego import FORWARD, cam_to_ego
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.frames_csv import facts_of_frame
from realmaster_live.datasets.labels import kept_frames, views_of
from realmaster_live.datasets.lane_sight import SeenLine, seen_lines
from realmaster_live.datasets.names import unique_names
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.road_map import road_map_of
from realmaster_live.datasets.selection import Selection, open_drives
from realmaster_live.datasets.sequences import in_sequences
from realmaster_live.datasets.summary import Summary
from realmaster_live.recording.sample import Sample

FORMAT = "openlane"
NEEDS: tuple[str, ...] = ("depth",)
FOLDERS = {"train": "training", "val": "validation", "test": "test"}
UNKNOWN = 0
LEFT_CURB, RIGHT_CURB = 20, 21
# kind -> number of a white line; a yellow one of the same kind has six more
CATEGORIES = {
    "broken": 1,
    "solid": 2,
    "broken_broken": 3,
    "solid_solid": 4,
    "broken_solid": 5,
    "solid_broken": 6,
}
YELLOW = 6
ATTRIBUTES = {-2: 1, -1: 2, 1: 3, 2: 4, 0: 0}  # left-left, left, right, right-right, any other


def export(selection: Selection, out: Path, *, options: ExportOptions | None = None) -> Summary:
    """Write the lane lines of a selection as OpenLane and return what was written.

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
            facts: dict[str, Any] = {}
            for camera in drive.cameras:
                frames = kept_frames(drive, camera, selection, tally, NEEDS)
                sequences = in_sequences(((one, None) for one in frames), drive, selection)
                for number, _, sample, _ in sequences:
                    (segment,) = unique_names([("segment", drive.stems[camera], str(number))], "-")
                    split = FOLDERS[drive.split]
                    name = f"{split}/{segment}/{sample.frame.frame_id:06d}"
                    for kind, pixels in views_of(sample, selection.variant):
                        images = "images" + "_sim" * (kind not in (selection.variant, "real"))
                        files.write(out / images / f"{name}.jpg", pixels)
                    lines = seen_lines(maps[drive.name], sample)
                    for one in lines:
                        tally.labels[f"{one.line.colour} {one.line.kind}"] += 1
                    content = json.dumps(content_of(sample, lines, f"{name}.jpg"))
                    files.write_text(out / f"lane3d/{name}.json", content)
                    folder.note(f"{name}.jpg", drive, sample)
                    facts[f"{name}.jpg"] = facts_of_frame(drive, sample, selection.variant)
            folder.write_part(drive, facts)
    scenes: dict[str, Any] = {}
    for _, part in folder.parts():
        scenes |= part
    folder.write_text("scene/scene.json", json.dumps(scenes, indent=1) + "\n")
    return folder.finish()


def content_of(sample: Sample, lines: list[SeenLine], file_path: str) -> dict[str, Any]:
    """Return the content of a picture's file."""
    to_vehicle = cam_to_ego(sample) @ np.linalg.inv(FORWARD)
    return {
        "intrinsic": sample.frame.intrinsics.tolist(),
        "extrinsic": to_vehicle.tolist(),
        "lane_lines": [
            {
                "category": category_of(one),
                "visibility": one.visible.astype(float).tolist(),
                "uv": one.pixels.T.round(2).tolist(),
                "xyz": (one.points @ FORWARD[:3, :3].T).T.round(4).tolist(),
                "attribute": ATTRIBUTES[one.side],
                "track_id": one.number,
            }
            for one in lines
        ],
        "file_path": file_path,
    }


def category_of(one: SeenLine) -> int:
    """Return OpenLane's category of a line, 0 for what it does not know.

    OpenLane knows white and yellow paint, and the curbs to the left and right of the camera.
    """
    if one.line.kind == "curb":
        return LEFT_CURB if one.points[0, 0] < 0 else RIGHT_CURB
    if one.line.kind not in CATEGORIES or one.line.colour not in ("white", "yellow"):
        return UNKNOWN
    return CATEGORIES[one.line.kind] + YELLOW * (one.line.colour == "yellow")
