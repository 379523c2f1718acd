"""LeRobot's dataset layout v3.0: episodes of video, state and action.

    meta/info.json stats.json tasks.parquet episodes/chunk-000/file-000.parquet
    data/chunk-000/file-000.parquet
    videos/observation.images.front/chunk-000/file-000.mp4

An episode is a part of a drive in which no camera misses a frame and the weather stays the same. A
split is a range of episodes. `observation.state` is the vehicle's motion since the previous frame.
`action` is what its pedals and wheel were told at the frame, and the state has its acceleration
too, where all recordings have controls; otherwise `action` is its motion to the next frame. Cameras
are named `observation.images.NAME`, with the suffix `_sim` or `_real` in a `paired` export. Boxes
and masks are not exported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.ego import ego_to_world, steps_between
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.frames_csv import Row, row_of
from realmaster_live.datasets.lerobot_meta import VIDEO_PATH, Episode, Shape, place, write_meta
from realmaster_live.datasets.lerobot_stats import ColourCounts
from realmaster_live.datasets.options import SPLITS
from realmaster_live.datasets.selection import PICTURES, Drive, Selection, open_drives
from realmaster_live.datasets.summary import Summary, Tally
from realmaster_live.datasets.ticks import Tick, ticks
from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.ego import EgoState
from realmaster_live.recording.files import unwritable
from realmaster_live.recording.h264 import H264File

FORMAT = "lerobot"
NEEDS: tuple[str, ...] = ()
MIN_FRAMES = 2  # of an episode, since a motion takes two frames
UNKNOWN_CONTROL = "controls missing"
TOLERANCE = 0.1  # accepted deviation of the time between two frames, as a share of it

GROUP = 4  # pictures between key frames: training reads single frames at random
CRF = 20


def has_controls(drive: Drive) -> bool:
    """Return whether controls of a drive were recorded."""
    throttle = drive.recording.table("ego")["throttle"]
    return bool(len(throttle) > throttle.null_count)


def control_of(frame: Frame) -> EgoState | None:
    """Return a frame's state if its control is known at this very frame."""
    return frame.ego if frame.ego is not None and frame.ego.control is not None else None


def actions(states: Sequence[EgoState]) -> NDArray[np.float64]:
    """Return rows (T, 5) of the columns DRIVEN_ACTION."""
    rows = [
        (control.throttle, control.steer, control.brake, control.hand_brake, control.reverse)
        for state in states
        if (control := state.control) is not None
    ]
    return np.array(rows, np.float64)


def accelerations(states: Sequence[EgoState], poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (T, 3) accelerations without gravity in the axes of the vehicle, (T, 4, 4) poses."""
    world = np.array([state.acceleration for state in states])
    return np.asarray(np.einsum("tji,tj->ti", poses[:, :3, :3], world))


class EpisodeVideo(H264File):
    """An H.264 file in 4:2:0 whose picture number n is shown at n / fps seconds.

    Args:
        path: the .mp4 file to write. size: (width, height) in pixels, even. fps: frames a second.
    """

    codec, pixel_format = "h264", "yuv420p"

    def __init__(self, path: Path, size: tuple[int, int], fps: int) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path.parent, error) from error
        super().__init__(
            path,
            size,
            fps,
            key_every=GROUP,
            x264={"crf": str(CRF), "preset": "veryfast", "bf": "0"},
            container={"movflags": "+faststart"},
        )


def export(selection: Selection, out: Path, *, options: ExportOptions | None = None) -> Summary:
    """Write a selection in LeRobot's layout v3.0.

    Raises:
        ConfigError: the recordings differ in cameras, sizes or frame rate, or the folder or the
            selection cannot be used.
        RecordingError: a recording cannot be read, or the export cannot be written.
    """
    options = options or ExportOptions()
    drives = open_drives(selection, FORMAT, NEEDS)
    shape = _shape(drives, selection)
    settings = {"controls": shape.controls}
    folder = ExportFolder(out, FORMAT, drives, selection, options, settings)
    for drive in drives:
        with folder.drive(drive) as tally:
            if tally is not None:
                begun = sum(len(part) for _, part in folder.parts())
                episodes = list(_episodes(drive, selection, shape, folder, tally, begun))
                folder.write_part(drive, [asdict(episode) for episode in episodes])
    found = [Episode(**fields) for _, part in folder.parts() for fields in part]
    found.sort(key=lambda episode: SPLITS.index(episode.split))
    if found:
        write_meta(folder, found, shape)
    return folder.finish()


def _shape(drives: tuple[Drive, ...], selection: Selection) -> Shape:
    """Return the frame rate and picture sizes that all drives share.

    Raises:
        ConfigError: the drives differ in them.
    """
    shapes = {drive.name: _shape_of(drive, selection) for drive in drives}
    first, *others = shapes.items()
    for name, shape in others:
        if shape != first[1]:
            raise ConfigError(
                f"expected recordings of the same cameras, sizes and frame rate, got {first[1]} in "
                f"{first[0]} and {shape} in {name}: export them one by one, or choose --cameras"
            )
    return replace(first[1], controls=all(map(has_controls, drives)))


def _shape_of(drive: Drive, selection: Selection) -> Shape:
    fps = drive.recording.meta.spec.fps / selection.every
    if fps != round(fps):
        raise ConfigError(
            f"expected a whole number of frames a second for LeRobot, got {fps:g} in {drive.name}: "
            f"choose an --every that divides {drive.recording.meta.spec.fps:g}"
        )
    cameras = drive.recording.meta.cameras
    return Shape(
        fps=round(fps),
        sizes={
            key: (cameras[camera].width, cameras[camera].height)
            for camera in drive.cameras
            for _, key in _keys(camera, selection)
        },
    )


def _keys(camera: str, selection: Selection) -> list[tuple[str, str]]:
    """Return (stream, feature name) of a camera's exported pictures."""
    streams = PICTURES[selection.variant]
    suffixes = [f"_{stream}" for stream in streams] if len(streams) > 1 else [""]
    return [
        (stream, f"observation.images.{camera}{suffix}")
        for stream, suffix in zip(streams, suffixes, strict=True)
    ]


def _episodes(
    drive: Drive,
    selection: Selection,
    shape: Shape,
    folder: ExportFolder,
    tally: Tally,
    begun: int,
) -> Iterator[Episode]:
    """Yield the episodes of a drive, with videos that are numbered from `begun` on."""
    episode: _EpisodeWriter | None = None
    for tick in ticks(drive, selection, left_out=tally.left_out):
        is_known = not shape.controls or control_of(tick.samples[0].frame) is not None
        if episode is not None and not (is_known and episode.continues(tick)):
            for done in episode.end(tally):
                begun += 1
                yield done
            episode = None
        if not is_known:
            tally.left_out[UNKNOWN_CONTROL] += len(tick.samples)
            continue
        if episode is None:
            episode = _EpisodeWriter(drive, selection, shape, folder, begun)
        episode.add(tick)
    if episode is not None:
        yield from episode.end(tally)


class _EpisodeWriter:
    """Writes one episode; the videos of one that is too short are removed."""

    def __init__(
        self, drive: Drive, selection: Selection, shape: Shape, folder: ExportFolder, number: int
    ) -> None:
        self._drive, self._selection, self._fps = drive, selection, shape.fps
        self._is_driven = shape.controls
        self._number = number
        self._stretch = 0
        self._colours = {key: ColourCounts() for key in shape.sizes}
        self._poses: list[NDArray[np.float64]] = []
        self._states: list[EgoState] = []
        self._frame_ids: list[int] = []
        self._timestamps: list[float] = []
        self._folder, self._rows = folder, list[Row]()
        self._films = {
            key: VIDEO_PATH.format(video_key=key, **place(number)) for key in shape.sizes
        }
        self._paths = {
            key: folder.written.claim(folder.out / film, again=True)
            for key, film in self._films.items()
        }
        self._stack = ExitStack()
        self._videos = {
            key: self._stack.enter_context(EpisodeVideo(self._paths[key], size, shape.fps))
            for key, size in shape.sizes.items()
        }

    def continues(self, tick: Tick) -> bool:
        """Return whether a tick directly follows the last one, in the same weather."""
        time_error = tick.samples[0].frame.timestamp - self._timestamps[-1] - 1 / self._fps
        return (
            tick.stretch == self._stretch
            and abs(time_error) <= TOLERANCE / self._fps
            and self._drive.conditions(tick.samples[0]) == self._conditions
        )

    def add(self, tick: Tick) -> None:
        """Append a tick."""
        first, self._stretch = tick.samples[0], tick.stretch
        self._conditions = self._drive.conditions(first)
        for sample in tick.samples:
            for stream, key in _keys(sample.frame.camera, self._selection):
                name = f"{self._films[key]}/{len(self._frame_ids):06d}"
                self._rows.append(row_of(name, self._drive, sample, self._selection.variant))
                picture = sample.frame.image if stream == "sim" else sample.real
                assert picture is not None
                self._videos[key].write(picture)
                self._colours[key].add(picture)
        self._poses.append(ego_to_world(first))
        control = control_of(first.frame)
        if control is not None:
            self._states.append(control)
        self._frame_ids.append(first.frame.frame_id)
        self._timestamps.append(first.frame.timestamp)

    def end(self, tally: Tally) -> Iterator[Episode]:
        """Close the videos, and yield the episode if it is long enough."""
        self._stack.close()
        pictures = len(self._frame_ids) * len(self._drive.cameras)
        if len(self._frame_ids) < MIN_FRAMES:
            tally.left_out["single frame between gaps"] += pictures
            for path in self._paths.values():
                path.unlink()
            return
        tally.frames += pictures
        self._folder.add_rows(self._rows)
        poses = np.array(self._poses)
        state, action = _motion(poses, self._fps)
        if self._is_driven:
            state = np.concatenate([state, accelerations(self._states, poses)], axis=1)
            action = actions(self._states)
        town, _, weather = self._conditions
        yield Episode(
            split=self._drive.split,
            task=" ".join(filter(None, ("drive", town and f"through {town}",
                                        weather and f"in {weather}"))),
            state=state.tolist(),
            action=action.tolist(),
            frame_ids=self._frame_ids,
            timestamps=self._timestamps,
            video=self._number,
            colours={key: one.counts.tolist() for key, one in self._colours.items()},
            counted=next(iter(self._colours.values())).pictures,
        )  # fmt: skip


def _motion(poses: NDArray[np.float64], fps: int) -> tuple[Any, Any]:
    """Return state (T, 5) and action (T, 3) of poses (T, 4, 4); lerobot_meta names the columns.

    The first frame repeats the state of the second, and the last frame repeats the previous action.
    """
    steps = steps_between(poses)
    before, after = np.concatenate([steps[:1], steps]), np.concatenate([steps, steps[-1:]])
    rates = before[:, [0, 2]] * fps
    return np.concatenate([rates, before], axis=1), after
