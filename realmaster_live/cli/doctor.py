"""`realmaster doctor`: what is installed, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

from realmaster_live.doctor import Finding, examine


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `doctor`."""
    parser.add_argument("--host", default="127.0.0.1", help="where to look for a CARLA server")
    parser.add_argument("--port", type=int, default=2000)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the findings; 1 if something that the demo needs is missing."""
    findings = examine(host=options.host, port=options.port)
    if options.json:
        text = json.dumps([asdict(finding) for finding in findings], indent=2)
    else:
        text = "\n".join(_lines(findings))
    sys.stdout.write(text + "\n")
    return int(any(finding.state == "missing" for finding in findings))


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the report line by line; without rich, which may be what is missing."""
    width = max(len(finding.name) for finding in findings)
    for group, members in groupby(findings, key=lambda finding: finding.group):
        yield group
        for finding in members:
            yield f"  {finding.state:8}{finding.name:{width}}  {finding.detail}"
            if finding.remedy:
                yield f"  {'':8}{'':{width}}  -> {finding.remedy}"
    if all(finding.state != "missing" for finding in findings):
        yield "realmaster demo has all it needs"
