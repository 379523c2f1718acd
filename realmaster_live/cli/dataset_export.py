"""`realmaster dataset export`: recordings as datasets in the formats of those who train on them."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from realmaster_live.cli.values import Count, Flag, Metres, Names, Natural, Share, choice, number
from realmaster_live.datasets.formats import FORMATS

if TYPE_CHECKING:
    from realmaster_live.datasets.selection import Selection

Format = Annotated[
    str,
    choice(FORMATS),
    Flag(
        metavar="FORMAT",
        note="; ".join(f"{name}: {one.contents}" for name, one in FORMATS.items()) + ".",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Splits, of whole recordings.

    Attributes:
        split_by: What is kept together in one split.
        split: Shares of the groups that train, validate and test, such as 0.8,0.1,0.1.
        train: Groups to train on whatever the shares, such as Town03,Town05.
        val: Groups to validate on whatever the shares.
        test: Groups to test on whatever the shares.
    """

    split_by: Literal["town", "route", "weather", "seed"] = "town"
    split: tuple[float, ...] = (1.0,)
    train: Annotated[Names, Flag(metavar="GROUP,...")] = ()
    val: Annotated[Names, Flag(metavar="GROUP,...")] = ()
    test: Annotated[Names, Flag(metavar="GROUP,...")] = ()


@dataclass(frozen=True, kw_only=True)
class LabelRules:
    """Labels that are kept; the others are marked to be ignored.

    Attributes:
        min_trust: Trust in an object of the realized picture, from 0 to 1.
        min_frame_trust: Trust in a whole picture; pictures below it are left out.
        max_occlusion: Share of an object that others hide.
        max_truncation: Share of an object that is outside the picture.
        max_distance: Distance of an object, in metres. Without it, any.
        min_pixels: Pixels of an object that are seen.
        unlisted: What becomes of masks of objects that the simulator does not list.
    """

    min_trust: Share = 0.5
    min_frame_trust: Share = 0.0
    max_occlusion: Share = 0.9
    max_truncation: Share = 0.9
    max_distance: Metres | None = None
    min_pixels: Natural = 20
    unlisted: Literal["keep", "ignore", "drop"] = "keep"


@dataclass(frozen=True, kw_only=True)
class FormatOptions:
    """Options of single formats.

    Attributes:
        polygons: COCO: write outlines in place of run-length masks, for readers that know polygons
            only.
        segments: YOLO: write outlines instead of boxes.
        pictures: KITTI: how pictures are written.
        depth: MCAP: write depth pictures too.
        shard_mb: WebDataset: largest size of a shard, in megabytes. Without it, the format's own.
    """

    polygons: bool = False
    segments: bool = False
    pictures: Literal["png", "jpg"] = "png"
    depth: bool = False
    shard_mb: Annotated[float, number(float, above=0, most=1e6, metavar="MB")] | None = None

    def of(self, names: Collection[str]) -> dict[str, Any]:
        """Return the arguments of a format's `export`; one without a value is left out."""
        own = {
            "polygons": self.polygons,
            "segments": self.segments,
            "suffix": f".{self.pictures}",
            "depth": self.depth,
            "shard_bytes": int(self.shard_mb * 1e6) if self.shard_mb else None,
        }
        return {name: own[name] for name in names if own[name] is not None}


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
        categories: TOML file that says which category each of CARLA's classes has.
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
    categories: Annotated[Path | None, Flag(metavar="FILE")] = None
    quality: Annotated[int, number(int, least=1, most=100)] = 95
    resume: bool = False
    overwrite: bool = False
    splits: Splits = field(default_factory=Splits)
    rules: LabelRules = field(default_factory=LabelRules)
    format: FormatOptions = field(default_factory=FormatOptions)


def run(options: Export) -> int:
    """Export, and print what was written and what was left out."""
    from realmaster_live.datasets.categories import CITYSCAPES, read_categories
    from realmaster_live.datasets.folder import ExportOptions

    known = CITYSCAPES.ids if options.to == "cityscapes" else None
    settings = ExportOptions(
        resume=options.resume,
        overwrite=options.overwrite,
        quality=options.quality,
        categories=read_categories(options.categories, known) if options.categories else None,
    )
    format_ = FORMATS[options.to]
    own = options.format.of(format_.settings)
    summary = format_.load().export(_selection(options), options.out, options=settings, **own)
    for line in summary.lines():
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"wrote {options.out} in {summary.seconds:.1f} s\n")
    return 1 if any(drive.damaged for drive in summary.drives.values()) else 0


def _selection(options: Export) -> Selection:
    from realmaster_live.datasets.rules import Rules
    from realmaster_live.datasets.selection import Selection
    from realmaster_live.datasets.splits import SplitRule

    rules, splits = options.rules, options.splits
    return Selection(
        recordings=options.recordings,
        cameras=options.cameras,
        every=options.every,
        variant=options.variant,
        split=SplitRule(
            by=splits.split_by,
            shares=splits.split,
            train=splits.train,
            val=splits.val,
            test=splits.test,
        ),
        rules=Rules(
            min_trust=rules.min_trust,
            min_frame_trust=rules.min_frame_trust,
            min_pixels=rules.min_pixels,
            max_occlusion=rules.max_occlusion,
            max_truncation=rules.max_truncation,
            max_distance_m=math.inf if rules.max_distance is None else rules.max_distance,
            unlisted=rules.unlisted,
        ),
    )
