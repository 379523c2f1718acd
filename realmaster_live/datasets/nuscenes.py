"""nuScenes v1.0: a data root with all tables, for nuscenes-devkit and what builds on it.

Below out/sim and out/real:

    samples/CAM_FRONT/... sweeps/CAM_FRONT/...   pictures: key frames at 2 Hz, and those between
    samples/LIDAR_TOP/... sweeps/LIDAR_TOP/...   a recorded lidar's points: see nuscenes_lidar, or
    samples/LIDAR_TOP/...                        points from the recorded depth: see nuscenes_points
    can_bus/scene-2000_pose.json ...             what the vehicle did: see nuscenes_can_bus
    v1.0-realmaster/*.json                       tables, and splits.json
    maps/unmapped.png                            an empty map, which the devkit needs
    maps/expansion/TOWN.json                     roads, lanes and crossings: see nuscenes_map

A `paired` export has both roots with identical tables, so training on the other needs only another
path. Labels that the rules ignore are left out, since nuScenes has no ignore label. A scene ends
where frames are missing or the weather changes. A recording over several towns has a log for each.
`num_lidar_pts` counts the points of LIDAR_TOP in a box, of those from depth only the ones that lie
on the object's own pixels; without a recorded lidar or depth there is no LIDAR_TOP, and the count
is 0. No tick without a sweep of a recorded lidar is a key frame. Times are the date at which the
recording began plus the simulation's clock, in microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.annotations.masks import RIDER
from realmaster_live.datasets.categories import Categories
from realmaster_live.datasets.coverage import categories_for
from realmaster_live.datasets.ego import Mounts, cam_to_ego, ego_to_world
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.names import unique_names
from realmaster_live.datasets.nuscenes_can_bus import CanBus, scene_name
from realmaster_live.datasets.nuscenes_lidar import (
    NO_SWEEP,
    LidarMount,
    points_in,
    recorded_lidar,
    scan_file,
    sweep_of,
)
from realmaster_live.datasets.nuscenes_map import expansion_of
from realmaster_live.datasets.nuscenes_points import (
    SCANNER_TO_EGO,
    Points,
    as_scan_file,
    points_on,
    scan,
)
from realmaster_live.datasets.nuscenes_rows import LIDAR, SceneRows
from realmaster_live.datasets.nuscenes_tables import TABLES, Rows, token_of, write_tables
from realmaster_live.datasets.nuscenes_taxonomy import (
    ATTRIBUTES,
    NUSCENES,
    VISIBILITIES,
    category,
    channels,
)
from realmaster_live.datasets.pictures import PictureFiles
from realmaster_live.datasets.road_map import road_map_of
from realmaster_live.datasets.rules import judge, trust_by_mask
from realmaster_live.datasets.selection import PICTURES, Drive, Selection, open_drives
from realmaster_live.datasets.summary import Summary, Tally
from realmaster_live.datasets.ticks import MonotonicClock, Tick, ticks
from realmaster_live.errors import RecordingError
from realmaster_live.recording.sample import Sample

FORMAT = "nuscenes"
NEEDS: tuple[str, ...] = ("instance",)
VERSION = "v1.0-realmaster"
MAP = "maps/unmapped.png"


def export(selection: Selection, out: Path, *, options: ExportOptions | None = None) -> Summary:
    """Write a selection as nuScenes v1.0.

    Raises:
        ConfigError: a required stream was not recorded, or `out` holds something else.
        RecordingError: a recording cannot be read, or `out` cannot be written.
    """
    options = options or ExportOptions()
    drives = open_drives(selection, FORMAT, NEEDS)
    categories = categories_for(drives, options, NUSCENES, NEEDS)
    folder = ExportFolder(out, FORMAT, drives, selection, options)
    roots = _roots(selection, out)
    begun = {time for _, part in folder.parts() for time in part.get("begun", ())}  # scenes
    with PictureFiles.of(folder, options) as pictures:
        for drive in drives:
            with folder.drive(drive) as tally:
                if tally is not None:
                    number = sum(len(part["scenes"]) for _, part in folder.parts())
                    job = _Job(drive, folder, categories, roots, pictures, tally, begun, number)
                    scenes = job.run()
                    part = {"scenes": list(scenes), "begun": list(scenes.values())}
                    folder.write_part(drive, {**part, "rows": job.rows.tables})
                    pictures.wait()
        for root in roots.values():
            pictures.write(root / MAP, np.zeros((16, 16), np.uint8))
    splits: dict[str, list[str]] = {}
    for done, part in folder.parts():
        splits.setdefault(f"realmaster_{done.split}", []).extend(part["scenes"])
    _write_maps(folder, drives, roots)
    for root in roots.values():
        rows = (part["rows"] for _, part in folder.parts())
        paths = {table: root / VERSION / f"{table}.json" for table in TABLES}
        for path in paths.values():
            folder.written.claim(path)
        write_tables(paths, chain([_common_rows(folder, categories)], rows))
        name = (root / VERSION / "splits.json").relative_to(out).as_posix()
        folder.write_text(name, json.dumps(splits, indent=1) + "\n")
    return folder.finish()


def _roots(selection: Selection, out: Path) -> dict[str, Path]:
    """Return "sim" or "real" -> data root."""
    return {name: out / name for name in PICTURES[selection.variant]}


def _write_maps(folder: ExportFolder, drives: Sequence[Drive], roots: Mapping[str, Path]) -> None:
    """Write the map expansion of each town whose OpenDRIVE was recorded."""
    towns = {drive.recording.meta.about.town: drive for drive in drives}
    for town, drive in towns.items():
        if town in drive.recording.opendrive:
            text = json.dumps(expansion_of(road_map_of(drive), town))
            for root in roots.values():
                name = (root / f"maps/expansion/{map_name(town)}.json").relative_to(folder.out)
                folder.write_text(name.as_posix(), text)


def map_name(town: str) -> str:
    """Return the name of a town's map, which is the location of its logs."""
    (name,) = unique_names([(town or "unknown",)], "-")
    return name


def _common_rows(folder: ExportFolder, categories: Categories) -> dict[str, dict[str, Any]]:
    """Return the rows that all recordings share; the map belongs to all logs."""
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
    """Exports one recording: its pictures as files, everything else as rows."""

    def __init__(
        self,
        drive: Drive,
        folder: ExportFolder,
        categories: Categories,
        roots: Mapping[str, Path],
        pictures: PictureFiles,
        tally: Tally,
        begun: set[int],
        number: int,
    ) -> None:
        self.rows = Rows()
        self._drive = drive
        self._folder, self._selection = folder, folder.selection
        self._categories = categories
        self._roots = roots
        self._pictures = pictures
        self._tally = tally
        self._begun = begun
        self._number = number  # of the drive's first scene
        self._can = CanBus()
        self._scenes: dict[str, int] = {}
        self._mounts = Mounts()
        self._clock = MonotonicClock(_created_us(drive))
        self._channels: Mapping[str, str] = {}
        recorded = [set(drive.recording.streams(camera)) for camera in drive.cameras]
        self._lidar = recorded_lidar(drive)
        self._lidar_mount = LidarMount(self._lidar)
        self._scans = not self._lidar and all("depth" in streams for streams in recorded)

    def run(self) -> dict[str, int]:
        """Export the recording; return scene -> time of its beginning in microseconds."""
        meta = self._drive.recording.meta
        log = self.rows.add(
            "log",
            token_of("log", self._drive.name),
            logfile=self._drive.name,
            vehicle="ego",
            date_captured=meta.created[:10],
            location=map_name(meta.about.town),
        )
        scene: SceneRows | None = None
        description = ""
        streams = ("depth", "instance") if self._scans else ()
        for tick in ticks(self._drive, self._selection, streams, left_out=self._tally.left_out):
            now = self._clock.at(tick.stretch, tick.samples[0].frame.timestamp)
            conditions = str(self._drive.conditions(tick.samples[0]))
            if scene is not None and (conditions != description or scene.ends_before(now)):
                self._finish(scene, log=log, description=description)
                scene = None
            is_swept = sweep_of(tick.samples[0].frame, self._lidar) is not None
            if scene is None and self._lidar and not is_swept:
                self._tally.left_out[NO_SWEEP] += len(tick.samples)
                continue
            description = conditions
            if scene is None:
                while now in self._begun:  # the devkit sorts scenes by time, so none may be equal
                    self._clock.postpone()
                    now += 1
                scene = self._begin(tick, now)
            self._add(scene, tick, now)
        if scene is not None:
            self._finish(scene, log=log, description=description)
        return self._scenes

    def _finish(self, scene: SceneRows, *, log: str, description: str) -> None:
        """Write a scene's rows and its CAN bus."""
        self._tally.labels += scene.finish(log=log, description=description)
        for file, content in self._can.files(scene.name):
            for root in self._roots.values():
                self._pictures.write_bytes(root / file, content)
        self._can = CanBus()

    def _begin(self, tick: Tick, now: int) -> SceneRows:
        cameras = self._drive.cameras
        if not self._channels:
            mounts = {one.frame.camera: cam_to_ego(one) for one in tick.samples}
            self._channels = channels(mounts)
            for channel in self._channels.values():
                self.rows.add(
                    "sensor", token_of("sensor", channel), channel=channel, modality="camera"
                )
            if self._scans or self._lidar:
                self.rows.add("sensor", token_of("sensor", LIDAR), channel=LIDAR, modality="lidar")
        kept = self._drive.recording.meta.cameras
        sizes = {self._channels[one]: (kept[one].width, kept[one].height) for one in cameras}
        name = f"scene-{self._drive.name}-{len(self._scenes):03d}"
        if tick.samples[0].frame.ego is not None:
            name = scene_name(self._number + len(self._scenes))
        self._scenes[name] = now
        self._begun.add(now)
        return SceneRows(self.rows, name, self._drive.name, {**sizes, LIDAR: (0, 0)})

    def _add(self, scene: SceneRows, tick: Tick, now: int) -> None:
        first = tick.samples[0].frame
        sweep = sweep_of(first, self._lidar)
        may_be_key = sweep is not None or not self._lidar
        key = scene.begin(first.frame_id, now, may_be_key=may_be_key)
        for sample in tick.samples:
            channel, mount = self._channels[sample.frame.camera], self._mounts.of(sample)
            file = self._file(channel, now, key, "jpg")
            ego = ego_to_world(sample, mount)
            scene.add_picture(sample, channel=channel, mount=mount, ego=ego, file=file)
            self._folder.note(file, self._drive, sample)
            for name, picture in (("sim", sample.frame.image), ("real", sample.real)):
                if name in self._roots and picture is not None:
                    self._pictures.write(self._roots[name] / file, picture)
            self._tally.frames += 1
        if key:
            self._add_key(scene, tick, now)
        ego = ego_to_world(tick.samples[0], self._mounts.of(tick.samples[0]))
        if first.ego is not None:
            self._can.add(first.ego, ego, now)
        if sweep is not None:
            file = self._file(LIDAR, now, key, "pcd.bin")
            mount = self._lidar_mount.of(first, sweep, ego)
            scene.add_scan(partial(points_in, sweep), mount=mount, ego=ego, file=file)
            for root in self._roots.values():
                self._pictures.write_bytes(root / file, scan_file(sweep))

    def _add_key(self, scene: SceneRows, tick: Tick, now: int) -> None:
        """Add boxes and points, which only key frames have."""
        for sample in tick.samples:
            self._add_visible(scene, sample)
        if not self._scans:
            return
        points = Points.of_all(
            [
                scan(
                    sample.frame.labels["depth"].astype(np.float32),
                    sample.frame.labels["instance"].astype(np.int32),
                    sample.frame.intrinsics,
                    self._mounts.of(sample),
                    sample.frame.cam_to_world,
                )
                for sample in tick.samples
            ]
        )
        first = tick.samples[0]
        ego = ego_to_world(first, self._mounts.of(first))
        file = self._file(LIDAR, now, True, "pcd.bin")
        scene.add_scan(
            lambda thing, labels: points_on(thing, labels, points),
            mount=SCANNER_TO_EGO,
            ego=ego,
            file=file,
        )
        for root in self._roots.values():
            self._pictures.write_bytes(root / file, as_scan_file(points, ego))

    def _add_visible(self, scene: SceneRows, sample: Sample) -> None:
        trust = trust_by_mask(sample.trust)
        riders = {one.mask_id: one.pixels for one in sample.annotations if one.class_id == RIDER}
        for one in sample.annotations:
            if one.class_id == RIDER:
                continue
            known = self._categories.of(one.class_id)
            if one.thing is None or not known:
                reason = "no category in this data set" if not known else "object not listed"
                self._tally.dropped[reason] += 1
                continue
            decision = judge(one, trust, self._selection.rules)
            if decision.fate == "keep":
                scene.add_visible(
                    one,
                    category(one.thing, self._categories),
                    rider_pixels=riders.get(one.mask_id, 0),
                )
            elif decision.fate == "ignore":
                self._tally.ignored[decision.reason] += 1
            else:
                self._tally.dropped[decision.reason] += 1

    def _file(self, channel: str, now: int, key: bool, suffix: str) -> str:
        kind = "samples" if key else "sweeps"
        return f"{kind}/{channel}/{self._drive.name}__{channel}__{now}.{suffix}"


def _created_us(drive: Drive) -> int:
    """Return when a recording was begun, in microseconds of the Unix clock."""
    created = drive.recording.meta.created
    try:
        return round(datetime.fromisoformat(created).timestamp() * 1e6)
    except (OverflowError, TypeError, ValueError) as error:
        raise RecordingError(
            f"expected the date of the recording {drive.name} under created in its meta.json, got "
            f"{created!r}: write it as 2026-01-31T12:00:00+00:00"
        ) from error
