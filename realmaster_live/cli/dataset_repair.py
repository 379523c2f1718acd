"""`realmaster dataset repair`: finish a recording whose process was killed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Flag


@dataclass(frozen=True, kw_only=True)
class Repair:
    """Finish a recording whose process was killed.

    Attributes:
        recording: The folder of a recording.
    """

    recording: Annotated[Path, Flag(positional=True)]


def run(options: Repair) -> int:
    """Repair, then verify; returns 0 where all is whole after that, else 1."""
    from realmaster_live.recording.repair import repair
    from realmaster_live.recording.verify import verify

    done = repair(options.recording)
    for name in done.finished:
        sys.stdout.write(f"finished segment {name}\n")
    for name in done.emptied:
        sys.stdout.write(f"set aside segment {name}, of which no frame can be read\n")
    if done.finished or done.emptied:
        sys.stdout.write(f"kept {done.frames} frames of them, cut {done.cut}\n")
    else:
        sys.stdout.write("no segment was open\n")
    if done.aside is not None:
        sys.stdout.write(f"nothing is deleted; what is not kept lies in {done.aside}:\n")
        sys.stdout.writelines(f"  {note.what}: {note.why}\n" for note in done.set_aside)
    findings = verify(options.recording)
    sys.stdout.write("\n".join(findings.lines()) + "\n")
    return 0 if findings.is_whole else 1
