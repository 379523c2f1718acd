"""`realmaster demo`: everything embedded, on any machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from realmaster_live.cli import options as flags


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `demo`."""
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR")
    parser.add_argument(
        "--bridge",
        choices=("carla", "gtav"),
        default="carla",
        help="what the embedded town stands in for (default: carla)",
    )
    parser.add_argument(
        "--seconds", type=flags.seconds, default=20.0, help="of simulated driving (default: 20)"
    )
    parser.add_argument("--seed", type=int, default=25, help="which town (default: 25)")
    flags.add_size(parser)
    flags.add_engine(parser)
    flags.add_prompt(parser)


def run(options: argparse.Namespace) -> int:
    """Drive, realize, and leave the film, the report and the recording."""
    from realmaster_live.demo.demo import Demo, run_demo

    run_demo(
        Demo(
            out=options.out,
            bridge=options.bridge,
            seconds=options.seconds,
            size=options.size,
            engine=options.engine,
            prompt=options.prompt,
            seed=options.seed,
        )
    )
    return 0
