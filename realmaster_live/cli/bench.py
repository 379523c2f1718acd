"""`realmaster bench`: frames a second and latency of the whole chain on this machine."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from realmaster_live.cli import options as flags
from realmaster_live.errors import ConfigError
from realmaster_live.optional import require

COMPARED = ("embedded", "mid-size")


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
        "--compare",
        action=argparse.BooleanOptionalAction,
        help="time the cached reference against the stock ways, instead of the chain (needs torch);"
        " with --no-compare the chain alone, without the engine's two times",
    )
    parser.add_argument("--only", choices=COMPARED, help="of --compare: one of the two networks")
    parser.add_argument("--rounds", type=int, help="of --compare (default: 9 embedded, 3 mid-size)")
    parser.add_argument(
        "--bf16", action="store_true", help="of --compare: torch computes in bfloat16"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the figures as JSON")
    flags.add_engine(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print, and keep the figures if asked to."""
    if options.compare:
        figures: Any = compare(options)
    else:
        figures = list(measure_chain(options))
    if options.out is not None:
        try:
            options.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"expected to write {options.out}, got {error}: choose another --out"
            ) from error
    return 0


def measure_chain(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the figures of every size, printed."""
    from realmaster_live.demo.bench import Bench, run_bench
    from realmaster_live.live.progress import console, show_stats

    bench = Bench(
        sizes=options.sizes,
        seconds=options.seconds,
        engine=options.engine,
        seed=options.seed,
        compare=options.compare is not False,
    )
    for result in run_bench(bench):
        title = f"{result.width}x{result.height} {bench.engine}"
        show_stats(result.stats, title)
        if result.ratio is not None:
            console().print(
                f"the engine alone: {result.engine_ms:.1f} ms a chunk, "
                f"{result.recomputed_ms:.1f} ms with its reference recomputed at every step: "
                f"{result.ratio:.2f} times as long",
                soft_wrap=True,
            )
        yield result.as_dict()


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of all ways, printed."""
    require("torch", extra="training")
    from dataclasses import replace

    from realmaster_live.cli import compare as table
    from realmaster_live.live.progress import console
    from realmaster_live.model.ways import CASES, STEPS
    from realmaster_live.model.ways import compare as compare_ways
    from realmaster_live.system.host import describe_host

    out = console()
    rows: list[dict[str, Any]] = []
    copied: dict[str, float] = {}
    for name in COMPARED if options.only is None else (options.only,):
        case = replace(CASES[name], bf16=options.bf16, rounds=options.rounds or CASES[name].rounds)
        size = f"{case.width}x{case.height}"
        title = f"{name}, the transformer alone at {size}{', bf16' if case.bf16 else ''}"
        found = compare_ways(title, case)
        rows += table.show_rows(row.as_dict() for row in found)
        if name == "embedded":
            folder = None if options.engine == "embedded" else options.engine
            shape = (folder, case.width, case.height)
            rows += table.show_rows(table.engine_rows(*shape, steps=STEPS, rounds=case.rounds))
            copied = table.host_bytes(*shape)
            out.print(table.show_bytes(size, copied), soft_wrap=True)
    out.print("\n" + table.NOTES, soft_wrap=True)
    return {"rows": rows, "bytes_a_frame": copied, "host": describe_host()}
