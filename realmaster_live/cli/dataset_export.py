"""`realmaster dataset export`: recordings as datasets in the formats of those who train on them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from realmaster_live.datasets.formats import FORMATS

if TYPE_CHECKING:
    from realmaster_live.datasets.selection import Selection


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `export`."""
    parser.add_argument("recordings", type=Path, nargs="+", metavar="REC", help="their folders")
    parser.add_argument("--to", required=True, choices=FORMATS, metavar="FORMAT",
                        help="; ".join(f"{name}: {one.contents}" for name, one
                                       in FORMATS.items()))  # fmt: skip
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where to write")
    parser.add_argument("--variant", choices=("sim", "real", "paired"), default="real",
                        help="the rendered pictures, the realized ones, or both with one set of"
                        " labels (default: real)")  # fmt: skip
    parser.add_argument("--cameras", default="", metavar="NAMES",
                        help="such as front,back (default: all)")  # fmt: skip
    parser.add_argument("--every", type=int, default=1, metavar="N",
                        help="take each N-th frame (default: 1)")  # fmt: skip
    _add_split(parser)
    _add_rules(parser)
    parser.add_argument("--categories", type=Path, metavar="FILE",
                        help="TOML: which category each of CARLA's classes has")  # fmt: skip
    parser.add_argument("--polygons", action="store_true",
                        help="coco: outlines in place of run-length masks, for readers that know"
                        " polygons only")  # fmt: skip
    parser.add_argument("--segments", action="store_true", help="yolo: outlines, not boxes")
    parser.add_argument("--pictures", dest="suffix", type=".{}".format, choices=(".png", ".jpg"),
                        default=".png", metavar="KIND",
                        help="kitti: png or jpg (default: png)")  # fmt: skip
    parser.add_argument("--depth", action="store_true", help="mcap: with depth pictures")
    parser.add_argument("--shard-mb", dest="shard_bytes", type=_megabytes, metavar="MB",
                        help="webdataset: of a shard at most")  # fmt: skip
    parser.add_argument("--quality", type=int, default=95, help="of JPEG files (default: 95)")
    parser.add_argument("--resume", action="store_true",
                        help="keep what an earlier run finished, and go on")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true",
                        help="remove the export that is in DIR")  # fmt: skip


def _add_split(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("splits", "whole recordings, by what they have in common")
    group.add_argument("--split-by", choices=("town", "route", "weather", "seed"), default="town")
    group.add_argument("--split", type=_shares, default=(1.0,), metavar="SHARES",
                       help="of the groups that train, validate and test, such as 0.8,0.1,0.1"
                       " (default: all train)")  # fmt: skip
    for split in ("train", "val", "test"):
        group.add_argument(f"--{split}", default="", metavar="GROUPS",
                           help=f"{split} on these, such as Town03,Town05")  # fmt: skip


def _add_rules(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("labels", "which are kept; others are marked to be ignored")
    for flag, default, text in (
        ("min-trust", 0.5, "in the realized picture, from 0 to 1"),
        ("min-frame-trust", 0.0, "of a picture; others are left out"),
        ("max-occlusion", 0.9, "share that other things hide"),
        ("max-truncation", 0.9, "share outside the picture"),
        ("max-distance", float("inf"), "metres"),
    ):
        group.add_argument(f"--{flag}", type=float, default=default, metavar="X",
                           help=f"{text} (default: {default:g})")  # fmt: skip
    group.add_argument("--min-pixels", type=int, default=20, metavar="N", help="(default: 20)")
    group.add_argument("--unlisted", choices=("keep", "ignore", "drop"), default="keep",
                       help="masks of things that are not listed (default: keep)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Export, and print what was written and what was left out."""
    from realmaster_live.datasets.categories import CITYSCAPES, read_categories
    from realmaster_live.datasets.folder import ExportOptions

    format_ = FORMATS[options.to]
    known = CITYSCAPES.ids if options.to == "cityscapes" else None
    settings = ExportOptions(
        resume=options.resume,
        overwrite=options.overwrite,
        quality=options.quality,
        categories=options.categories and read_categories(options.categories, known),
    )
    own = {name: getattr(options, name) for name in format_.settings}
    own = {name: value for name, value in own.items() if value is not None}
    summary = format_.load().export(_selection(options), options.out, options=settings, **own)
    for line in summary.lines():
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"wrote {options.out} in {summary.seconds:.1f} s\n")
    return 1 if any(drive.damaged for drive in summary.drives.values()) else 0


def _selection(options: argparse.Namespace) -> Selection:
    from realmaster_live.datasets.rules import Rules
    from realmaster_live.datasets.selection import Selection
    from realmaster_live.datasets.splits import SplitRule

    rules = Rules(
        min_trust=options.min_trust,
        min_frame_trust=options.min_frame_trust,
        min_pixels=options.min_pixels,
        max_occlusion=options.max_occlusion,
        max_truncation=options.max_truncation,
        max_distance_m=options.max_distance,
        unlisted=options.unlisted,
    )
    split = SplitRule(
        by=options.split_by,
        shares=options.split,
        train=_names(options.train),
        val=_names(options.val),
        test=_names(options.test),
    )
    return Selection(
        recordings=tuple(options.recordings),
        cameras=_names(options.cameras),
        every=options.every,
        variant=options.variant,
        split=split,
        rules=rules,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _megabytes(text: str) -> int:
    return int(float(text) * 1e6)


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected shares such as 0.8,0.1,0.1, got {text!r}"
        ) from error
