"""`realmaster dataset verify`: what of a recording is there, and what is wrong with it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Flag


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Say what of a recording is there, what is missing and what is damaged.

    Attributes:
        recording: The folder of a recording.
        decode: Play every video to its end as well, which is slow.
        json: Print the findings as JSON.
    """

    recording: Annotated[Path, Flag(positional=True)]
    decode: bool = False
    json: bool = False


def run(options: Verify) -> int:
    """Print the findings; returns 0 where all is whole, else 1."""
    from realmaster_live.recording.verify import verify

    findings = verify(options.recording, decode=options.decode)
    if options.json:
        report = {
            "folder": str(findings.folder),
            "whole": findings.is_whole,
            "frames": findings.frames,
            "problems": findings.problems,
            "segments": [asdict(segment) for segment in findings.segments],
        }
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(findings.lines()) + "\n")
    return 0 if findings.is_whole else 1
