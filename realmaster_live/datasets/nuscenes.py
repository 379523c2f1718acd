"""nuScenes v1.0: a data root with all its tables, opened by nuscenes-devkit and what builds on it.

Below out/sim and out/real:

    samples/CAM_FRONT/... sweeps/CAM_FRONT/...   pictures: key frames at 2 Hz, and those between
    samples/LIDAR_TOP/...                        points from the recorded depth: see nuscenes_points
    v1.0-realmaster/*.json                       tables, and splits.json
    maps/unmapped.png                            what the devkit needs to open; there is no map

A `paired` export has both roots, with the same tables byte by byte: what trains on the one trains
on the other by its path alone. A label that the rule ignores is left out, as
nuScenes knows no ignored ones. `num_lidar_pts` counts the points of LIDAR_TOP in a box; without
recorded depth there is no LIDAR_TOP, and it is 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations.masks import RIDER
from realmaster_live.datasets.categories import Categories
from realmaster_live.datasets.ego import cam_to_ego, ego_to_world
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.moments import Moment, moments
from realmaster_live.datasets.nuscenes_points import as_scan_file, scan, write_scan
from realmaster_live.datasets.nuscenes_rows import LIDAR, SceneRows
from realmaster_live.datasets.nuscenes_tables import Rows, token_of, write_tables
from realmaster_live.datasets.nuscenes_words import (
    ATTRIBUTES,
    NUSCENES,
    VISIBILITIES,
    category,
    channels,
)
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.rules import judge, trust_by_mask
from realmaster_live.datasets.selection import PICTURES, Drive, Selection, open_drives
from realmaster_live.datasets.summary import Summary, Tally
from realmaster_live.recording.sample import Sample

FORMAT = "nuscenes"
VERSION = "v1.0-realmaster"
MAP = "maps/unmapped.png"
NO_POINTS: NDArray[np.float64] = np.zeros((0, 3))


def export(selection: Selection, out: Path, *, options: ExportOptions | None = None) -> Summary:
    """Write a selection as nuScenes v1.0.

    Raises:
        ConfigError: something that is needed was not recorded, or `out` holds something else.
        RecordingError: a recording cannot be read, or `out` cannot be written.
    """
    options = options or ExportOptions()
    drives = open_drives(selection, FORMAT)
    folder = ExportFolder(out, FORMAT, selection, options)
    roots = _roots(selection, out)
    categories = options.categories or NUSCENES
    with PictureFiles(threads=options.threads, quality=options.quality) as pictures:
        for drive in drives:
            with folder.drive(drive) as tally:
                if tally is not None:
                    job = _Job(drive, selection, categories, roots, pictures, tally)
                    folder.write_part(drive, {"scenes": job.run(), "rows": job.rows.tables})
                    pictures.wait()
        for root in roots.values():
            pictures.write(root / MAP, np.zeros((16, 16), np.uint8))
    splits: dict[str, list[str]] = {}
    for done, part in folder.parts():
        splits.setdefault(f"realmaster_{done.split}", []).extend(part["scenes"])
    for root in roots.values():
        rows = (part["rows"] for _, part in folder.parts())
        write_tables(root / VERSION, chain([_common_rows(folder, categories)], rows))
        name = (root / VERSION / "splits.json").relative_to(out).as_posix()
        folder.write_text(name, json.dumps(splits, indent=1) + "\n")
    return folder.finish()


def _roots(selection: Selection, out: Path) -> dict[str, Path]:
    """Return "sim" or "real" -> the data root of these pictures."""
    return {name: out / name for name in PICTURES[selection.variant]}


def _common_rows(folder: ExportFolder, categories: Categories) -> dict[str, dict[str, Any]]:
    """Return the rows that no recording has of its own; the map is of all logs."""
    rows = Rows()
    for name in categories.ids:
        rows.add("category", token_of("category", name), name=name, description="")
    for name in ATTRIBUTES:
        rows.add("attribute", token_of("attribute", name), name=name, description="")
    for token, level, low in VISIBILITIES:
        rows.add("visibility", token, level=level, description=f"from {low:.0%} of it visible")
    logs = [token for _, part in folder.parts() for token in part["rows"].get("log", ())]
    rows.add("map", token_of("map", MAP), category="unmapped", filename=MAP, log_tokens=logs)
    return rows.tables


class _Job:
    """One recording: its pictures as files, the rest as rows."""

    def __init__(
        self,
        drive: Drive,
        selection: Selection,
        categories: Categories,
        roots: Mapping[str, Path],
        pictures: PictureFiles,
        tally: Tally,
    ) -> None:
        self.rows = Rows()
        self._drive = drive
        self._selection = selection
        self._categories = categories
        self._roots = roots
        self._pictures = pictures
        self._tally = tally
        self._scenes: list[str] = []
        self._channels: Mapping[str, str] = {}
        recorded = [set(drive.recording.streams(camera)) for camera in drive.cameras]
        self._scans = all("depth" in streams for streams in recorded)

    def run(self) -> list[str]:
        """Do it; return the names of the scenes."""
        about = self._drive.recording.meta.about
        log = self.rows.add(
            "log",
            token_of("log", self._drive.name),
            logfile=self._drive.name,
            vehicle="ego",
            date_captured=self._drive.recording.meta.created[:10],
            location=about.town or "unknown",
        )
        told = ", ".join(filter(None, (about.town, about.route, about.weather)))
        scene: SceneRows | None = None
        streams = ("depth",) if self._scans else ()
        for moment in moments(self._drive, self._selection, streams, left_out=self._tally.left_out):
            now = moment[0].frame.timestamp
            if scene is not None and scene.ends_before(now):
                self._tally.labels += scene.finish(log=log, description=told)
                scene = None
            if scene is None:
                scene = self._begin(moment)
            self._add(scene, moment)
        if scene is not None:
            self._tally.labels += scene.finish(log=log, description=told)
        return self._scenes

    def _begin(self, moment: Moment) -> SceneRows:
        cameras = self._drive.cameras
        if not self._channels:
            mounts = {one.frame.camera: cam_to_ego(one) for one in moment}
            self._channels = channels(mounts)
            for channel in self._channels.values():
                self.rows.add(
                    "sensor", token_of("sensor", channel), channel=channel, modality="camera"
                )
            if self._scans:
                self.rows.add("sensor", token_of("sensor", LIDAR), channel=LIDAR, modality="lidar")
        kept = self._drive.recording.meta.cameras
        sizes = {self._channels[one]: (kept[one].width, kept[one].height) for one in cameras}
        self._scenes.append(f"scene-{self._drive.name}-{len(self._scenes):03d}")
        return SceneRows(self.rows, self._scenes[-1], {**sizes, LIDAR: (0, 0)})

    def _add(self, scene: SceneRows, moment: Moment) -> None:
        frame = moment[0].frame
        key = scene.begin(frame.frame_id, frame.timestamp)
        for sample in moment:
            channel = self._channels[sample.frame.camera]
            file = self._file(channel, sample, key, "jpg")
            scene.add_picture(sample, channel=channel, file=file)
            for name, picture in (("sim", sample.frame.image), ("real", sample.real)):
                if name in self._roots and picture is not None:
                    self._pictures.write(self._roots[name] / file, picture)
            self._tally.frames += 1
        if key:
            self._add_key(scene, moment)

    def _add_key(self, scene: SceneRows, moment: Moment) -> None:
        """Add what only key frames have: points and boxes."""
        scans: list[bytes] = []
        for sample in moment:
            points = NO_POINTS
            if self._scans:
                depth = sample.frame.labels["depth"].astype(np.float32)
                hit, rings = scan(depth, sample.frame.intrinsics, cam_to_ego(sample))
                scans.append(as_scan_file(hit, rings))
                ego = ego_to_world(sample)
                points = hit @ ego[:3, :3].T + ego[:3, 3]
            self._see(scene, sample, points)
        if self._scans:
            file = self._file(LIDAR, moment[0], True, "pcd.bin")
            scene.add_scan(moment[0], file=file)
            for root in self._roots.values():
                write_scan(root / file, scans)

    def _see(self, scene: SceneRows, sample: Sample, points: NDArray[np.float64]) -> None:
        trust = trust_by_mask(sample.trust)
        riders = {one.mask_id: one.pixels for one in sample.annotations if one.class_id == RIDER}
        for one in sample.annotations:
            if one.class_id == RIDER:
                continue
            word = self._categories.of(one.class_id)
            if one.thing is None or not word:
                reason = "no category in this dataset" if not word else "no thing is listed"
                self._tally.dropped[reason] += 1
                continue
            decision = judge(one, trust, self._selection.rules)
            if decision.fate == "keep":
                scene.see(
                    one,
                    category(one.thing, self._categories),
                    points,
                    rider_pixels=riders.get(one.mask_id, 0),
                )
            elif decision.fate == "ignore":
                self._tally.ignored[decision.reason] += 1
            else:
                self._tally.dropped[decision.reason] += 1

    def _file(self, channel: str, sample: Sample, key: bool, suffix: str) -> str:
        kind = "samples" if key else "sweeps"
        name = f"{self._drive.name}__{channel}__{round(sample.frame.timestamp * 1e6)}.{suffix}"
        return f"{kind}/{channel}/{name}"
