"""What an export takes: recordings, cameras, frames, pictures, and the rule of their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from realmaster_live.datasets.rules import Rules
from realmaster_live.datasets.splits import Split, SplitRule, assign_splits
from realmaster_live.errors import ConfigError
from realmaster_live.recording import Recording
from realmaster_live.recording.sample import Sample

Variant = Literal["sim", "real", "paired"]
PICTURES: Mapping[Variant, tuple[str, ...]] = {
    "sim": ("sim",),
    "real": ("real",),
    "paired": ("sim", "real"),
}
# what must have been recorded for each format besides its pictures
NEEDS: Mapping[str, tuple[str, ...]] = {
    "coco": ("instance",),
    "yolo": ("instance",),
    "kitti": ("instance",),
    "nuscenes": ("instance",),
    "cityscapes": ("semantic", "instance"),
    "webdataset": (),
    "mcap": (),
    "lerobot": (),
}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What to export.

    Attributes:
        recordings: their folders. cameras: by name; all that each recording has when empty.
        every: take each so-manieth frame of a camera.
        variant: the rendered pictures, the realized ones, or both with one set of labels.
        split: how recordings are dealt out. rules: which labels are kept.
    """

    recordings: tuple[Path, ...]
    cameras: tuple[str, ...] = ()
    every: int = 1
    variant: Variant = "sim"
    split: SplitRule = field(default_factory=SplitRule)
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        """Refuse what gives no frames."""
        if not self.recordings:
            raise ConfigError("expected recordings, got none: name their folders")
        if self.every < 1:
            raise ConfigError(f"expected every of 1 or more, got {self.every}: raise it")
        if self.variant not in PICTURES:
            raise ConfigError(
                f"expected a variant among {', '.join(PICTURES)}, got {self.variant!r}: name one"
            )


@dataclass(frozen=True, kw_only=True)
class Drive:
    """One recording of a selection.

    Attributes:
        name: of its folder, with the parents' where several are named the same.
        recording: open. split: where it goes. cameras: those to export.
    """

    name: str
    recording: Recording
    split: Split
    cameras: tuple[str, ...]

    def size(self, camera: str) -> tuple[int, int]:
        """Return the width and height of a camera's pictures, pixels."""
        seen = self.recording.meta.cameras[camera]
        return seen.width, seen.height

    def samples(
        self, camera: str, selection: Selection, streams: Collection[str] = ()
    ) -> Iterator[Sample]:
        """Yield the selected frames of a camera with its pictures and the label `streams`.

        Damaged segments are logged and passed over.
        """
        asked = {*PICTURES[selection.variant], *streams}
        return self.recording.samples(camera, streams=asked, every=selection.every, damaged="skip")


def open_drives(selection: Selection, export: str) -> tuple[Drive, ...]:
    """Return the recordings of a selection, checked for what `export`, a format of NEEDS, needs.

    Raises:
        RecordingError: one cannot be read.
        ConfigError: a camera or a stream was not recorded, or the splits cannot be made.
    """
    folders = _names(selection.recordings)
    recordings = {name: Recording(folder, verify=True) for name, folder in folders.items()}
    splits = assign_splits(
        {name: recording.meta.about for name, recording in recordings.items()}, selection.split
    )
    drives = []
    for name, recording in recordings.items():
        cameras = _cameras(name, recording, selection.cameras)
        for camera in cameras:
            _check_streams(name, camera, recording.streams(camera), selection, export)
        drives.append(Drive(name=name, recording=recording, split=splits[name], cameras=cameras))
    return tuple(drives)


def _names(folders: tuple[Path, ...]) -> dict[str, Path]:
    """Return unlike names for folders: the last part of the path, more where two are alike."""
    whole = [folder.resolve() for folder in folders]
    twice = [str(folder) for folder, count in Counter(whole).items() if count > 1]
    if twice:
        raise ConfigError(f"expected each recording once, got {twice[0]} twice: name it once")
    length = 1
    while len({folder.parts[-length:] for folder in whole}) < len(whole):
        length += 1
    return {"-".join(folder.parts[-length:]): folder for folder in whole}


def _cameras(name: str, recording: Recording, asked: tuple[str, ...]) -> tuple[str, ...]:
    missing = [camera for camera in asked if camera not in recording.cameras]
    if missing:
        raise ConfigError(
            f"expected cameras among {', '.join(recording.cameras)} in {name}, got "
            f"{', '.join(missing)}: leave them out"
        )
    return asked or recording.cameras


def _check_streams(
    name: str, camera: str, recorded: Collection[str], selection: Selection, export: str
) -> None:
    needed = (*PICTURES[selection.variant], *NEEDS[export])
    missing = [stream for stream in needed if stream not in recorded]
    if not missing:
        return
    able = [one for one, needs in NEEDS.items() if set(needs) <= set(recorded)]
    raise ConfigError(
        f"expected the streams {', '.join(needed)} of camera {camera} in {name} for a "
        f"{selection.variant} export to {export}, got no {', '.join(missing)}: record with "
        f"--labels {','.join(NEEDS[export]) or 'none'}"
        + (" through an engine" if "real" in missing else "")
        + f"; what was recorded is enough for {', '.join(able) or 'no format'}"
    )
