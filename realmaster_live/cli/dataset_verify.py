"""`realmaster dataset verify`: what of a recording is there, and what is wrong with it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `verify`."""
    parser.add_argument("recording", type=Path, metavar="DIR", help="the folder of a recording")
    parser.add_argument(
        "--decode", action="store_true", help="also play every video to its end (slow)"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the findings; returns 0 where all is whole, else 1."""
    from realmaster_live.recording.verify import verify

    findings = verify(options.recording, decode=options.decode)
    if options.json:
        told = {
            "folder": str(findings.folder),
            "whole": findings.is_whole,
            "frames": findings.frames,
            "problems": findings.problems,
            "segments": [dataclasses.asdict(segment) for segment in findings.segments],
        }
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(findings.lines()) + "\n")
    return 0 if findings.is_whole else 1
