"""`realmaster pairs status`: how far every stage is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Count, Flag
from realmaster_live.optional import require


@dataclass(frozen=True, kw_only=True)
class Status:
    """Count what is made, failed, given up and waiting.

    Attributes:
        dataset: The folder of the pairs.
        workers: Estimate the time that is left for this many workers.
        json: Print the counts as JSON.
    """

    dataset: Annotated[Path, Flag(positional=True)]
    workers: Count = 1
    json: bool = False


def run(options: Status) -> int:
    """Print the counts of every stage, and the last errors."""
    from realmaster_live.live.progress import console
    from realmaster_live.training.pairs.chain import Chain
    from realmaster_live.training.pairs.cost import duration_text, estimate, size_text
    from realmaster_live.training.pairs.status import read_status

    chain = Chain(options.dataset)
    names = chain.needed(["gate", "encode", *chain.recipe.own])
    counts = [read_status(chain, name) for name in names]
    if options.json:
        stages = [asdict(count) for count in counts]
        print(json.dumps({"clips": len(chain.clips), "stages": stages}, indent=1))
        return 0
    rich_table = require("rich.table", extra="training")
    heads = ("stage", "done", "failed", "quarantined", "waiting", "time left", "size")
    table = rich_table.Table(*heads, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for count in counts:
        figures = (count.done, count.failed, count.quarantined, count.waiting)
        left = duration_text(estimate(count, options.workers).seconds)
        table.add_row(count.stage, *map(str, figures), left, size_text(count.bytes))
    console().print(table)
    for count in counts:
        for clip, error in count.errors.items():
            print(f"{count.stage} {clip}: {error}")
    return 0
