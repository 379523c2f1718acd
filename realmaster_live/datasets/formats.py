"""The table of formats, which the command line and the documentation read.

A format is a module of this package with `export(selection, out, *, options, ...)` and `NEEDS`, the
label streams that it requires. To add one, write the module and add a line here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from realmaster_live.errors import MissingDependency


@dataclass(frozen=True)
class Format:
    """One line of the table.

    Attributes:
        module: name of the format's module in this package.
        contents: a description of what an export holds.
        settings: names of the arguments of `export` that only this format has.
    """

    module: str
    contents: str
    settings: tuple[str, ...] = ()

    def load(self) -> Any:
        """Return the imported module.

        Raises:
            MissingDependency: a package that the format needs is not installed.
        """
        return import_module(f"realmaster_live.datasets.{self.module}")


FORMATS: Mapping[str, Format] = {
    "coco": Format("coco", "masks and boxes, one JSON file for each split", ("polygons",)),
    "yolo": Format("yolo", "boxes or outlines, one text file for each picture", ("segments",)),
    "kitti": Format("kitti", "2D and 3D boxes, calibration", ("suffix",)),
    "cityscapes": Format("cityscapes", "semantic and instance maps, 34 ids"),
    "nuscenes": Format("nuscenes", "v1.0 tables of all cameras, points from depth"),
    "webdataset": Format("webdataset_shards", "shards with every label", ("shard_bytes",)),
    "mcap": Format("mcap_log", "video, boxes and poses for Foxglove", ("depth",)),
    "lerobot": Format("lerobot", "v3.0 episodes of video, state and action"),
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
