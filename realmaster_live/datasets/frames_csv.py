"""frames.csv: where every picture of an export comes from and what holds for it, in all formats."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from realmaster_live.datasets.selection import Drive, Variant
from realmaster_live.recording.sample import Sample

FRAMES = "frames.csv"
Row = list[Any]
ORIGIN = ("split", "recording", "camera", "frame_id", "timestamp")
FACTS = ("town", "route", "weather", "prompt", "licence", "trust")
HEADER = ("name", *ORIGIN, *FACTS)


def facts_of_frame(drive: Drive, sample: Sample, variant: Variant) -> dict[str, Any]:
    """Return FACTS of a frame; "" or None for what is unknown.

    `prompt` and `trust` (0 to 1) are those of the realized picture, and hold for the rendered one
    beside it, too.
    """
    return {
        **drive.conditions(sample)._asdict(),
        "prompt": sample.prompt,
        "licence": ", ".join(drive.licences(variant)),
        "trust": None if sample.trust is None else round(sample.trust.score, 4),
    }


def row_of(name: str, drive: Drive, sample: Sample, variant: Variant) -> Row:
    """Return the row of a picture that the data set names `name`."""
    frame = sample.frame
    origin = (drive.split, drive.name, frame.camera, frame.frame_id, frame.timestamp)
    return [name, *origin, *facts_of_frame(drive, sample, variant).values()]


def table_of(rows: Iterable[Row]) -> str:
    """Return the content of frames.csv, sorted by names."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows([HEADER, *sorted(rows, key=lambda row: str(row[0]))])
    return table.getvalue()
