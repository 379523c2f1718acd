"""`realmaster bench`: frames a second and latency of the whole chain on this machine."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from realmaster_live.cli import options as flags
from realmaster_live.errors import ConfigError


def add(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `bench`."""
    parser.add_argument(
        "--sizes",
        type=flags.sizes,
        default=[(512, 288)],
        metavar="WxH,..",
        help="one run each (default: 512x288)",
    )
    parser.add_argument(
        "--seconds", type=flags.seconds, default=10.0, help="of simulated driving (default: 10)"
    )
    parser.add_argument("--seed", type=int, default=7, help="which town (default: 7)")
    parser.add_argument(
        "--no-compare",
        dest="compare",
        action="store_false",
        help="do not time the engine without its reference cache",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the figures as JSON")
    flags.add_engine(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, and keep the figures if asked to."""
    from realmaster_live.bench import Bench, run_bench
    from realmaster_live.progress import console, show_stats

    bench = Bench(
        sizes=options.sizes,
        seconds=options.seconds,
        engine=options.engine,
        seed=options.seed,
        compare=options.compare,
    )
    results = []
    for result in run_bench(bench):
        results.append(result.as_dict())
        title = f"{result.width}x{result.height} {bench.engine}"
        show_stats(result.stats, title)
        if result.ratio is not None:
            console().print(
                f"the engine alone: {result.engine_ms:.1f} ms a chunk, "
                f"{result.recomputed_ms:.1f} ms with its reference recomputed at every step: "
                f"{result.ratio:.2f} times as long",
                soft_wrap=True,
            )
    if options.out is not None:
        try:
            options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"expected to write {options.out}, got {error}: choose another --out"
            ) from error
    return 0
