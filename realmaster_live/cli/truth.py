"""`realmaster minitown truth`: path-trace what a recording of the embedded town shows."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `truth`."""
    parser.add_argument("recording", type=Path, help="such as demo-out/recording")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: truth in the recording")
    parser.add_argument(
        "--every", type=int, default=20, metavar="N", help="one frame of N (default: 20)"
    )
    parser.add_argument(
        "--spp", type=int, default=12, metavar="N", help="samples a pixel (default: 12)"
    )


def run(options: argparse.Namespace) -> int:
    """Trace, and name every picture."""
    from realmaster_live.demo.truth import Truth, trace

    out = options.out or options.recording / "truth"
    truth = Truth(recording=options.recording, out=out, every=options.every, spp=options.spp)
    for path in trace(truth):
        sys.stdout.write(f"wrote {path}\n")
        sys.stdout.flush()
    return 0
