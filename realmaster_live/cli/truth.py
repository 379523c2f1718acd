"""`realmaster minitown truth`: path-trace what a recording of the embedded town shows."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Flag
from realmaster_live.demo import settings


@dataclass(frozen=True, kw_only=True)
class Truth(settings.Truth):
    """Path-trace frames of a recording that was made in the embedded town."""

    recording: Annotated[Path, Flag(positional=True)]


def run(options: Truth) -> int:
    """Trace, and name every picture."""
    from realmaster_live.demo.truth import trace

    for path in trace(options):
        sys.stdout.write(f"wrote {path}\n")
        sys.stdout.flush()
    return 0
