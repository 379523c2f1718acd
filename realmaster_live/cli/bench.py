"""`realmaster bench`: frames a second and latency of the whole chain on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from realmaster_live.cli.values import Count, Flag
from realmaster_live.demo import settings
from realmaster_live.errors import ConfigError, reason
from realmaster_live.optional import require

if TYPE_CHECKING:
    from realmaster_live.demo.bench import Result

NETWORKS = ("embedded", "mid-size")


@dataclass(frozen=True, kw_only=True)
class Bench(settings.Bench):
    """Measure the whole chain on this machine: frames a second, and the latency of every stage.

    Attributes:
        compare: Time the network with its cached reference against the usual alternatives, instead
            of the chain. This needs torch.
        only: One of the two networks that --compare times.
        rounds: Rounds of --compare. Without it, 9 of the embedded network and 3 of the other.
        bf16: Let torch compute in bfloat16 under --compare.
        out: Write the figures to this JSON file as well.
    """

    alone: Annotated[bool, Flag(formerly="no-compare")] = True
    compare: bool = False
    only: Literal["embedded", "mid-size"] | None = None
    rounds: Count | None = None
    bf16: bool = False
    out: Annotated[Path | None, Flag(metavar="FILE")] = None


def run(options: Bench) -> int:
    """Measure, print, and write the figures where a file is given."""
    figures = compare(options) if options.compare else list(measure_chain(options))
    if options.out is not None:
        try:
            options.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"expected to write {options.out}, got {reason(error)}: choose another --out"
            ) from error
    return 0


def measure_chain(options: Bench) -> Iterator[dict[str, Any]]:
    """Yield the figures of every size, printed."""
    from realmaster_live.demo.bench import run_bench
    from realmaster_live.live.progress import console, show_stats
    from realmaster_live.system.host import describe_host

    out = console()
    host = describe_host()
    kind = ", ".join(host["instructions"]) or "unknown instructions"
    out.print(f"{host['cpu']} ({kind}), {host['cores']} cores", soft_wrap=True)
    for result in run_bench(options):
        size = f"{result.width}x{result.height}"
        for drawing, chain in result.chains.items():
            show_stats(chain.stats, f"{size} {options.engine}, pictures drawn {drawing}")
        show_chains(result)
        if result.ratio is not None:
            out.print(
                f"the engine alone: {result.engine_ms:.1f} ms a chunk, "
                f"{result.recomputed_ms:.1f} ms with its reference recomputed at every step: "
                f"{result.ratio:.2f} times as long",
                soft_wrap=True,
            )
        yield result.as_dict()


def show_chains(result: Result) -> None:
    """Print the rate of each chain, and what its parts take of the processor."""
    from realmaster_live.demo.bench import DRAWINGS
    from realmaster_live.live.progress import console, rich_table

    table = rich_table.Table(box=None, pad_edge=False)
    table.add_column(f"{result.width}x{result.height}, pictures drawn")
    for title in ("frames/s", "town", "capture to recording"):
        table.add_column(title, justify="right")
    for drawing, chain in result.chains.items():
        town = "unknown" if chain.town_ms is None else f"{chain.town_ms:.1f} ms"
        row = f"{chain.stats.fps:.1f}", town, f"{chain.own_ms:.1f} ms"
        table.add_row(DRAWINGS[drawing], *row)
    out = console()
    out.print(table)
    out.print("ms: of one core, for a frame", style="dim")
    if result.parts_ms:
        parts = ", ".join(f"{name} {taken:.1f} ms" for name, taken in result.parts_ms.items())
        out.print(f"each part alone: {parts}", soft_wrap=True)


def compare(options: Bench) -> dict[str, Any]:
    """Return the figures of all alternatives, printed."""
    require("torch", extra="training")
    from dataclasses import replace

    from realmaster_live.demo import compare as table
    from realmaster_live.live.progress import console
    from realmaster_live.model.variants import CASES, STEPS
    from realmaster_live.model.variants import compare as compare_variants
    from realmaster_live.system.host import describe_host

    out = console()
    rows: list[dict[str, Any]] = []
    copied: dict[str, float] = {}
    for name in NETWORKS if options.only is None else (options.only,):
        case = replace(CASES[name], bf16=options.bf16, rounds=options.rounds or CASES[name].rounds)
        size = f"{case.width}x{case.height}"
        title = f"{name}, the transformer alone at {size}{', bf16' if case.bf16 else ''}"
        found = compare_variants(title, case)
        rows += table.show_rows(row.as_dict() for row in found)
        if name == "embedded":
            folder = None if options.engine == "embedded" else options.engine
            shape = (folder, case.width, case.height)
            rows += table.show_rows(table.engine_rows(*shape, steps=STEPS, rounds=case.rounds))
            copied = table.host_bytes(*shape)
            out.print(table.show_bytes(size, copied), soft_wrap=True)
    out.print("\n" + table.NOTES, soft_wrap=True)
    return {"rows": rows, "bytes_a_frame": copied, "host": describe_host()}
