"""`realmaster dataset export`: recordings as datasets in the formats of those who train on them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from realmaster_live.cli.values import METRES, NAMES, Count, Fields, Flag, Names, choice, number
from realmaster_live.datasets.formats import FORMATS
from realmaster_live.datasets.options import Rules, SplitRule
from realmaster_live.errors import ConfigError

if TYPE_CHECKING:
    from realmaster_live.datasets.selection import Selection

GROUPS = (NAMES, Flag(metavar="GROUP,..."))
Format = Annotated[
    str,
    choice(FORMATS),
    Flag(
        metavar="FORMAT",
        note="; ".join(f"{name}: {one.contents}" for name, one in FORMATS.items()) + ".",
    ),
]


@dataclass(frozen=True, kw_only=True)
class FormatOptions:
    """Options of single formats.

    Attributes:
        polygons: COCO: write a second file of each split with outlines in place of run-length
            masks, for readers that know polygons only. Cityscapes: write polygons.json too, for its
            viewer.
        segments: YOLO: write outlines instead of boxes.
        pictures: KITTI's formats: how pictures are written.
        depth: MCAP: write depth pictures too.
        shard_mb: WebDataset: largest size of a shard, in megabytes. Without it, the format's own.
    """

    polygons: bool = False
    segments: bool = False
    pictures: Literal["png", "jpg"] = "png"
    depth: bool = False
    shard_mb: Annotated[float, number(float, above=0, most=1e6, metavar="MB")] | None = None

    def of(self, format_name: str) -> dict[str, Any]:
        """Return the arguments of a format's `export`; one without a value is left out.

        Raises:
            ConfigError: an option is given that the format does not have.
        """
        names = FORMATS[format_name].settings
        own = {
            "polygons": ("--polygons", self.polygons),
            "segments": ("--segments", self.segments),
            "suffix": ("--pictures", None if self.pictures == "png" else f".{self.pictures}"),
            "depth": ("--depth", self.depth),
            "shard_bytes": ("--shard-mb", int(self.shard_mb * 1e6) if self.shard_mb else None),
        }
        for name, (flag, value) in own.items():
            if value and name not in names:
                takers = [taker for taker, one in FORMATS.items() if name in one.settings]
                _refuse(flag, format_name, takers)
        return {name: own[name][1] for name in names if own[name][1] is not None}


@dataclass(frozen=True, kw_only=True)
class Export:
    """Turn recordings into a data set in a common format.

    Attributes:
        recordings: The folders of the recordings.
        to: The format of the data set.
        out: Folder for the data set.
        variant: The rendered pictures, the realized ones, or both with one set of labels.
        cameras: Cameras to export, such as front,back. Without it, all.
        every: Take every n-th frame.
        frames: TOML file that says which frames of each recording to take, as dataset view saves
            it.
        needs: Sensors that every recording must have, such as lidar,control. Without it, formats
            export those that there are.
        categories: TOML file that says which category each of CARLA's classes has.
        unmapped: Category of all classes that the categories do not name; none leaves them out.
            Without it, an export stops and lists those that were recorded.
        quality: Quality of JPEG files, from 1 to 100.
        resume: Keep what an earlier run finished, and go on from there.
        overwrite: Replace an earlier export in the folder.
    """

    recordings: Annotated[tuple[Path, ...], Flag(positional=True, metavar="RECORDING")]
    to: Format
    out: Annotated[Path, Flag(metavar="DIR")]
    variant: Literal["sim", "real", "paired"] = "real"
    cameras: Names = ()
    every: Count = 1
    frames: Annotated[Path | None, Flag(metavar="FILE")] = None
    needs: Names = ()
    categories: Annotated[Path | None, Flag(metavar="FILE")] = None
    unmapped: Annotated[str | None, Flag(metavar="CATEGORY")] = None
    quality: Annotated[int, number(int, least=1, most=100)] = 95
    resume: bool = False
    overwrite: bool = False
    splits: Annotated[
        SplitRule,
        Fields(
            by=(Flag(name="split-by"),),
            shares=(Flag(name="split"),),
            train=GROUPS,
            val=GROUPS,
            test=GROUPS,
            salt=(Flag(name="split-salt"),),
        ),
    ] = field(default_factory=SplitRule)
    rules: Annotated[
        Rules, Fields(max_distance_m=(METRES, Flag(name="max-distance")), own_vehicle_m=(METRES,))
    ] = field(default_factory=Rules)
    format: FormatOptions = field(default_factory=FormatOptions)


def run(options: Export) -> int:
    """Export, and print what was written and what was left out."""
    from realmaster_live.datasets.categories import CITYSCAPES, read_categories
    from realmaster_live.datasets.folder import ExportOptions
    from realmaster_live.system.freed_memory import keep_freed_memory

    keep_freed_memory()
    known = CITYSCAPES.ids if options.to == "cityscapes" else None
    settings = ExportOptions(
        resume=options.resume,
        overwrite=options.overwrite,
        quality=options.quality,
        unmapped=options.unmapped,
        categories=read_categories(options.categories, known) if options.categories else None,
    )
    format_ = FORMATS[options.to]
    own = options.format.of(options.to)
    for flag, value in (("--categories", options.categories), ("--unmapped", options.unmapped)):
        if value is not None and not format_.mapped:
            _refuse(flag, options.to, [name for name, one in FORMATS.items() if one.mapped])
    summary = format_.load().export(_selection(options), options.out, options=settings, **own)
    for line in summary.lines():
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"wrote {options.out} in {summary.seconds:.1f} s\n")
    return 1 if any(drive.damaged for drive in summary.drives.values()) else 0


def _refuse(flag: str, format_name: str, takers: Sequence[str]) -> NoReturn:
    raise ConfigError(
        f"expected {flag} with --to {', '.join(takers)}, got it with {format_name}: leave it out"
    )


def _selection(options: Export) -> Selection:
    from realmaster_live.datasets.frame_ranges import FrameRanges
    from realmaster_live.datasets.selection import Selection

    return Selection(
        recordings=options.recordings,
        cameras=options.cameras,
        every=options.every,
        variant=options.variant,
        split=options.splits,
        rules=options.rules,
        sensors=options.needs,
        frames=None if options.frames is None else FrameRanges.read(options.frames),
    )
