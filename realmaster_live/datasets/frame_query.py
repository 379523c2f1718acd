"""What somebody who trains on recordings asks for: which frames, and what of them."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack

from realmaster_live.datasets.categories import Categories
from realmaster_live.datasets.frame_facts import CARLA
from realmaster_live.datasets.options import SPLITS, By, Rules, Split, SplitRule
from realmaster_live.datasets.selection import PICTURES, Drive, Selection, Variant, drives_of
from realmaster_live.errors import ConfigError
from realmaster_live.recording.about import META
from realmaster_live.recording.packing import PACKINGS

log = logging.getLogger(__name__)

BOXES = ("boxes_2d", "boxes_3d")
LABELS = (*PACKINGS, *BOXES)
SHARES = (0.8, 0.1, 0.1)
Recordings = str | Path | Iterable[str | Path]


class QueryOptions(TypedDict, total=False):
    """What FrameDataset, which explains each of them, and `hugging_face` take."""

    pictures: Variant
    labels: Sequence[str]
    cameras: Sequence[str]
    every: int
    window: int
    stride: int
    split: Split | None
    split_by: By | SplitRule
    shares: Sequence[float]
    rules: Rules | None
    categories: Categories
    verify: bool


@dataclass(frozen=True, kw_only=True)
class FrameQuery:
    """Which frames of which recordings, and what of them.

    Attributes:
        recordings: folders of recordings.
        pictures: the rendered pictures, the realized ones, or both.
        labels: out of LABELS. cameras: their names; if empty, all of each recording.
        every: takes every n-th frame of a camera.
        window: frames in one item. stride: frames from one item's first to the next one's.
        split: takes the recordings of this split; None for all. rule: how they are split.
        rules: which frames and boxes are kept. categories: of the boxes.
        verify: compare each file with its hash when it is opened.
    """

    recordings: tuple[Path, ...]
    pictures: Variant = "real"
    labels: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    every: int = 1
    window: int = 1
    stride: int = 1
    split: Split | None = None
    rule: SplitRule = field(default_factory=SplitRule)
    rules: Rules = field(default_factory=Rules)
    categories: Categories = CARLA
    verify: bool = False

    def __post_init__(self) -> None:
        """Refuse names and numbers that no recording could satisfy; raises ConfigError."""
        unknown = [name for name in self.labels if name not in LABELS]
        if unknown:
            raise ConfigError(
                f"expected labels among {', '.join(LABELS)}, got {', '.join(map(str, unknown))}: "
                "name those"
            )
        if self.pictures not in PICTURES:
            raise ConfigError(
                f"expected pictures among {', '.join(PICTURES)}, got {self.pictures!r}: name one"
            )
        if self.split is not None and self.split not in SPLITS:
            raise ConfigError(
                f"expected a split among {', '.join(SPLITS)}, got {self.split!r}: name one"
            )
        for name in ("window", "stride", "every"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"expected {name} of 1 or more, got {getattr(self, name)}: raise it"
                )

    @classmethod
    def of(cls, recordings: Recordings, **options: Unpack[QueryOptions]) -> FrameQuery:
        """Return the query that some options describe; see FrameDataset.

        Raises:
            ConfigError: there are no such recordings, or an option cannot be.
        """
        rule = options.get("split_by", "town")
        if not isinstance(rule, SplitRule):
            rule = SplitRule(by=rule, shares=tuple(options.get("shares", SHARES)))
        return cls(
            recordings=find_recordings(recordings),
            pictures=options.get("pictures", "real"),
            labels=_names(options.get("labels", ())),
            cameras=_names(options.get("cameras", ())),
            every=options.get("every", 1),
            window=options.get("window", 1),
            stride=options.get("stride", 1),
            split=options.get("split"),
            rule=rule,
            rules=options.get("rules") or Rules(),
            categories=options.get("categories", CARLA),
            verify=options.get("verify", False),
        )

    @property
    def streams(self) -> tuple[str, ...]:
        """What has to be decoded of a frame."""
        return (*PICTURES[self.pictures], *(name for name in self.labels if name in PACKINGS))

    def drives(self) -> tuple[Drive, ...]:
        """Return the recordings of the split, opened.

        Raises:
            RecordingError: a recording cannot be read.
            ConfigError: a camera or stream was not recorded, or the split is empty.
        """
        selection = Selection(
            recordings=self.recordings,
            cameras=self.cameras,
            every=self.every,
            variant=self.pictures,
            split=SplitRule() if self.split is None else self.rule,
            rules=self.rules,
        )
        drives = drives_of(selection, verify=self.verify)
        if self.split is not None:
            found = sorted({drive.split for drive in drives})
            drives = tuple(drive for drive in drives if drive.split == self.split)
            if not drives:
                raise ConfigError(
                    f"expected recordings in the split {self.split}, got all of them in "
                    f"{', '.join(found)}: give it a share, or name a {self.rule.by} for it"
                )
        for drive in drives:
            self._check_streams(drive)
        return drives

    def _check_streams(self, drive: Drive) -> None:
        for camera in drive.cameras:
            recorded = drive.recording.streams(camera)
            missing = [name for name in self.streams if name not in recorded]
            if not missing:
                continue
            remedies = []
            if "real" in missing:
                remedies.append('replay it through an engine, or take pictures="sim"')
            lacking = [name for name in missing if name in PACKINGS]
            if lacking:
                remedies.append(f"record with --labels {','.join(lacking)}, or leave them out")
            raise ConfigError(
                f"expected the streams {', '.join(self.streams)} of camera {camera} in "
                f"{drive.recording.folder}, got {', '.join(recorded)}: {'; '.join(remedies)}"
            )


def _names(given: Sequence[str]) -> tuple[str, ...]:
    """Return names, also where one alone was given."""
    return (given,) if isinstance(given, str) else tuple(given)


def find_recordings(recordings: Recordings) -> tuple[Path, ...]:
    """Return the folders that are named, or that a pattern such as "drives/*" matches.

    A pattern takes the folders with a meta.json, and says which others it passed over.

    Raises:
        ConfigError: there are none.
    """
    named = [recordings] if isinstance(recordings, str | os.PathLike) else list(recordings)
    found: list[Path] = []
    for name in [os.fspath(one) for one in named]:
        if not glob.has_magic(name) or Path(name).exists():
            found.append(Path(name))
            continue
        matches = [Path(path) for path in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207
        folders = [path for path in matches if (path / META).exists()]
        others = [str(path) for path in matches if path not in folders]
        if others and folders:
            log.warning("no recordings, so passed over: %s", ", ".join(others))
        if not folders:
            raise ConfigError(
                f"expected recordings at {name}, got "
                f"{f'none among {len(others)} others' if others else 'nothing there'}: give the "
                "folders in which recordings were made"
            )
        found += folders
    return tuple(dict.fromkeys(found))
