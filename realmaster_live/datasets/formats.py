"""The table of formats, which the command line and the documentation read.

A format is a module of this package with `export(selection, out, *, options, ...)` and `NEEDS`, the
label streams that it requires. To add one, write the module and add a line here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from realmaster_live.errors import MissingDependency
from realmaster_live.optional import require


@dataclass(frozen=True)
class Format:
    """One line of the table.

    Attributes:
        module: name of the format's module in this package.
        contents: a description of what an export holds.
        settings: names of the arguments of `export` that only this format has.
        mapped: whether CARLA's classes become categories, which the user may choose.
        extra: of our distribution, which brings what the module imports.
    """

    module: str
    contents: str
    settings: tuple[str, ...] = ()
    mapped: bool = False
    extra: str = "export"

    def load(self) -> Any:
        """Return the imported module.

        Raises:
            MissingDependency: a package that the format needs is not installed.
        """
        return require(f"realmaster_live.datasets.{self.module}", extra=self.extra)


FORMATS: Mapping[str, Format] = {
    "coco": Format(
        "coco", "masks and boxes, one JSON file for each split", ("polygons",), mapped=True
    ),
    "panoptic": Format("panoptic", "COCO panoptic: a segment for every pixel", mapped=True),
    "yolo": Format(
        "yolo", "boxes or outlines, one text file for each picture", ("segments",), mapped=True
    ),
    "kitti": Format("kitti", "2D and 3D boxes, calibration", ("suffix",), mapped=True),
    "kitti_tracking": Format(
        "kitti_tracking", "tracks of 2D and 3D boxes", ("suffix",), mapped=True
    ),
    "kitti_odometry": Format("kitti_odometry", "sequences with camera poses", ("suffix",)),
    "cityscapes": Format(
        "cityscapes", "semantic and instance maps, 34 ids", ("polygons",), mapped=True
    ),
    "openlane": Format("openlane", "lane lines in 3D and in the picture"),
    "culane": Format("culane", "the lines beside the camera's lane as points"),
    "nuscenes": Format("nuscenes", "v1.0 tables of all cameras, points from depth", mapped=True),
    "webdataset": Format("webdataset_shards", "shards with every label", ("shard_bytes",)),
    "mcap": Format("mcap_log", "video, boxes and poses for Foxglove", ("depth",)),
    "lerobot": Format("lerobot", "v3.0 episodes of video, state and action"),
    "arrow_123d": Format(
        "arrow_123d", "123D logs of ego, boxes and cameras", mapped=True, extra="arrow-123d"
    ),
}


def possible_formats(recorded: Collection[str]) -> list[str]:
    """Return the formats that need only the `recorded` streams."""
    found = []
    for name, one in FORMATS.items():
        try:
            needs = one.load().NEEDS
        except MissingDependency:
            continue
        if set(needs) <= set(recorded):
            found.append(name)
    return found
