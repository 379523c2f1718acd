"""Selects what to export: recordings, cameras, frames, pictures and the rules for their labels."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.formats import possible_formats
from realmaster_live.datasets.frame_ranges import FrameRanges
from realmaster_live.datasets.names import unique_names
from realmaster_live.datasets.needed_sensors import check_sensors
from realmaster_live.datasets.options import Rules, Split, SplitRule
from realmaster_live.datasets.splits import assign_splits
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.recording import Recording
from realmaster_live.recording.calibration import CALIBRATION, describe_lens
from realmaster_live.recording.sample import Sample
from realmaster_live.recording.segment import SEGMENT

Variant = Literal["sim", "real", "paired"]
PICTURES: Mapping[Variant, tuple[str, ...]] = {
    "sim": ("sim",),
    "real": ("real",),
    "paired": ("sim", "real"),
}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What to export.

    Attributes:
        recordings: folders of the recordings.
        cameras: names of the cameras; if empty, all cameras of each recording.
        every: takes every n-th frame of a camera.
        variant: the rendered pictures, the realized ones, or both with one set of labels.
        split: how recordings are split. rules: which labels are kept.
        sensors: what every recording must have readings of, by name or kind.
        frames: which frames of each recording; None for all.
    """

    recordings: tuple[Path, ...]
    cameras: tuple[str, ...] = ()
    every: int = 1
    variant: Variant = "sim"
    split: SplitRule = field(default_factory=SplitRule)
    rules: Rules = field(default_factory=Rules)
    sensors: tuple[str, ...] = ()
    frames: FrameRanges | None = None

    def __post_init__(self) -> None:
        """Refuse a selection that cannot give any frame."""
        if not self.recordings:
            raise ConfigError("expected recordings, got none: name their folders")
        if self.every < 1:
            raise ConfigError(f"expected every of 1 or more, got {self.every}: raise it")
        if self.variant not in PICTURES:
            raise ConfigError(
                f"expected a variant among {', '.join(PICTURES)}, got {self.variant!r}: name one"
            )


class Conditions(NamedTuple):
    """A frame's town, route and weather; "" where unknown."""

    town: str
    route: str
    weather: str

    def __str__(self) -> str:
        """Return what is known, separated by commas."""
        return ", ".join(filter(None, self))


@dataclass(frozen=True, kw_only=True)
class Drive:
    """One recording of a selection, or one of its scenes where it has several.

    Attributes:
        name: a unique name, made of the last parts of the folder's path; see `names`.
        recording: the open recording. split: its split.
        stems: camera -> beginning of its file names, for the cameras to export.
    """

    name: str
    recording: Recording
    split: Split
    stems: Mapping[str, str]

    @property
    def cameras(self) -> tuple[str, ...]:
        """The names of the cameras to export."""
        return tuple(self.stems)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the recording's content, independent of its folder."""
        digest = hashlib.sha256(self.recording.meta.created.encode())
        for folder in self.recording.segment_folders():
            if (folder / SEGMENT).is_file():  # the hashes of all files of the segment
                digest.update((folder / SEGMENT).read_bytes())
        return digest.hexdigest()[:16]

    def lenses(self) -> dict[str, str]:
        """Return camera -> description of its lens, for cameras that are not pinholes."""
        entries = self.recording.calibration if self._calibrated else {}
        lenses = {camera: describe_lens(entries.get(camera, {})) for camera in self.cameras}
        return {camera: lens for camera, lens in lenses.items() if lens}

    @property
    def _calibrated(self) -> bool:
        return (self.recording.folder / CALIBRATION).is_file()

    def size(self, camera: str) -> tuple[int, int]:
        """Return the width and height of a camera's pictures in pixels."""
        recorded = self.recording.meta.cameras[camera]
        return recorded.width, recorded.height

    def conditions(self, sample: Sample) -> Conditions:
        """Return a frame's town, route and weather."""
        source = sample.frame.source
        assert source is not None  # every frame of a recording has one
        route = self.recording.meta.about.route
        return Conditions(town=source.town, route=route, weather=source.weather_words)

    def licences(self, variant: Variant) -> tuple[str, ...]:
        """Return the licence of the recording, and of the engine if its pictures are exported."""
        about = self.recording.meta.about
        engine = about.engine_licence if variant != "sim" else ""
        return tuple(filter(None, (about.licence, engine)))

    def samples(
        self, camera: str, selection: Selection, streams: Collection[str] = ()
    ) -> Iterator[Sample]:
        """Yield the selected frames of a camera with their pictures and the label `streams`.

        Damaged segments are logged and skipped.
        """
        return self.decoded(camera, selection, {*PICTURES[selection.variant], *streams})

    def decoded(
        self, camera: str, selection: Selection, streams: Collection[str]
    ) -> Iterator[Sample]:
        """Yield the selected frames of a camera with these streams alone, pictures included."""
        chosen = selection.frames
        return self.recording.samples(
            camera,
            streams=streams,
            every=selection.every,
            frames=None if chosen is None else chosen.of[self.recording.folder.resolve()],
            damaged="skip",
        )


def open_drives(selection: Selection, export: str, needs: Sequence[str] = ()) -> tuple[Drive, ...]:
    """Return the recordings of a selection after checking for the streams that a format needs.

    Args:
        selection: the selection to open.
        export: name of the format in messages.
        needs: label streams that the format needs.

    Raises:
        RecordingError: a recording cannot be read.
        ConfigError: a camera or a stream was not recorded, or the splits cannot be made.
    """
    drives = drives_of(selection)
    for drive in drives:
        check_sensors(drive.name, drive.recording, selection.sensors, export)
        for camera in drive.cameras:
            recorded = drive.recording.streams(camera)
            _check_streams(drive.name, camera, recorded, selection, export, needs)
    return drives


def drives_of(selection: Selection, *, verify: bool = True) -> tuple[Drive, ...]:
    """Return the recordings of a selection with their splits, whatever streams they have.

    Args:
        selection: the selection to open.
        verify: compare each file with its hash on first use, as Recording does.

    Raises:
        RecordingError: a recording cannot be read.
        ConfigError: a camera was not recorded, the splits cannot be made, or the file of frames
            names other recordings, or frames that a recording does not have.
    """
    if selection.frames is not None:
        selection.frames.check(selection.recordings)
    recordings = _scenes(selection, verify=verify)
    if selection.frames is not None:
        _check_numbers(selection.frames, recordings.values())
    splits = assign_splits(
        {name: recording.meta.about for name, recording in recordings.items()}, selection.split
    )
    keys = [
        (name, camera)
        for name, recording in recordings.items()
        for camera in _cameras(name, recording, selection.cameras)
    ]
    stems = dict(zip(keys, unique_names(keys, "_"), strict=True))
    return tuple(
        Drive(
            name=name,
            recording=recording,
            split=splits[name],
            stems={camera: stem for (drive, camera), stem in stems.items() if drive == name},
        )
        for name, recording in recordings.items()
    )


def _scenes(selection: Selection, *, verify: bool) -> dict[str, Recording]:
    """Return name -> recording; a recording over several towns is split into its scenes."""
    parts: dict[tuple[str, ...], Recording] = {}
    for name, folder in _named(selection.recordings).items():
        scenes = Recording(folder, verify=verify).scenes(by_weather=selection.split.by == "weather")
        for number, scene in enumerate(scenes, start=1):
            parts[(name, str(number)) if len(scenes) > 1 else (name,)] = scene
    return dict(zip(unique_names(list(parts), "-"), parts.values(), strict=True))


def _check_numbers(frames: FrameRanges, scenes: Iterable[Recording]) -> None:
    """Refuse frames that are not there; those of a damaged recording are not known."""
    numbers: dict[Path, list[NDArray[np.int64]]] = {}
    damaged: set[Path] = set()
    for scene in scenes:
        try:
            found = scene.table("frames")["frame_id"].to_numpy()
            numbers.setdefault(scene.folder, []).append(found)
        except RecordingError:
            damaged.add(scene.folder)
    for folder, parts in numbers.items():
        if folder not in damaged:
            frames.check_numbers(folder, np.concatenate(parts))


def _named(folders: tuple[Path, ...]) -> dict[str, Path]:
    """Return name -> folder; names have as many parts of the path as make all of them differ."""
    whole = [folder.resolve() for folder in folders]
    twice = [str(folder) for folder, count in Counter(whole).items() if count > 1]
    if twice:
        raise ConfigError(f"expected each recording once, got {twice[0]} twice: name it once")
    length = 1
    while len({folder.parts[-length:] for folder in whole}) < len(whole):
        length += 1
    names = unique_names([folder.parts[-length:] for folder in whole], "-")
    return dict(zip(names, whole, strict=True))


def _cameras(name: str, recording: Recording, chosen: tuple[str, ...]) -> tuple[str, ...]:
    missing = [camera for camera in chosen if camera not in recording.cameras]
    if missing:
        raise ConfigError(
            f"expected cameras among {', '.join(recording.cameras)} in {name}, got "
            f"{', '.join(missing)}: leave them out"
        )
    return chosen or recording.cameras


def _check_streams(
    name: str,
    camera: str,
    recorded: Collection[str],
    selection: Selection,
    export: str,
    needs: Sequence[str],
) -> None:
    needed = (*PICTURES[selection.variant], *needs)
    missing = [stream for stream in needed if stream not in recorded]
    if not missing:
        return
    remedies = []
    if set(missing) & set(needs):
        possible = ", ".join(possible_formats(recorded)) or "no format"
        remedies.append(
            f"record with --labels {','.join(needs)}; the recorded streams suffice for {possible}"
        )
    if "real" in missing:
        remedies.append("replay it through an engine, or export --variant sim")
    raise ConfigError(
        f"expected the streams {', '.join(needed)} of camera {camera} in {name} for a "
        f"{selection.variant} export to {export}, got no {', '.join(missing)}: "
        + "; ".join(remedies)
    )
