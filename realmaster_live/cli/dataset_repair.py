"""`realmaster dataset repair`: finish a recording whose process was killed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `repair`."""
    parser.add_argument("recording", type=Path, metavar="DIR", help="the folder of a recording")


def run(options: argparse.Namespace) -> int:
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
