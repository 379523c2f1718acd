"""`realmaster dataset stats`: what recordings hold, in numbers and plots."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Flag, Names


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Count what recordings hold: classes, sizes, distances, occlusion, weather, trust, speed.

    Attributes:
        recordings: The folders of the recordings.
        cameras: Cameras to count, such as front,back. Without it, all.
        out: Write the plots to this HTML file too, which needs nothing else.
    """

    recordings: Annotated[tuple[Path, ...], Flag(positional=True, metavar="RECORDING")]
    cameras: Names = ()
    out: Annotated[Path | None, Flag(metavar="FILE")] = None


def run(options: Stats) -> int:
    """Print the numbers; returns 1 where a damaged segment was left out, else 0."""
    from realmaster_live.datasets.statistics import statistics_of
    from realmaster_live.datasets.statistics_page import lines_of, page_of
    from realmaster_live.errors import RecordingError, reason
    from realmaster_live.system.atomic_files import write_text

    found = statistics_of(options.recordings, options.cameras)
    sys.stdout.write("".join(f"{line}\n" for line in lines_of(found)))
    if options.out is not None:
        try:
            write_text(options.out, page_of(found))
        except OSError as error:
            raise RecordingError(
                f"expected to write {options.out}, got {reason(error)}: name a file in a folder "
                "that can be written"
            ) from error
        sys.stdout.write(f"\nwrote {options.out}\n")
    return 1 if found.damaged else 0
