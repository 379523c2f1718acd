"""`realmaster pairs gc`: removes objects that nothing refers to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Flag


@dataclass(frozen=True, kw_only=True)
class Collect:
    """Remove objects that nothing refers to, and what killed workers left behind.

    Attributes:
        dataset: The folder of the pairs.
        superseded: Remove objects of earlier recipes too.
        dry_run: Say what would be removed, and remove nothing.
    """

    dataset: Annotated[Path, Flag(positional=True)]
    superseded: bool = False
    dry_run: bool = False


def run(options: Collect) -> int:
    """Remove what nothing refers to, and say how much that is."""
    from realmaster_live.training.pairs.chain import Chain
    from realmaster_live.training.pairs.collect import find_garbage
    from realmaster_live.training.pairs.cost import size_text

    chain = Chain(options.dataset)
    _ = chain.clips  # raises where this is no dataset
    found = find_garbage(chain, superseded=options.superseded)
    if not options.dry_run:
        found.remove()
    print(
        f"{len(found.objects)} objects, {len(found.parts)} unfinished files and "
        f"{len(found.leases)} abandoned leases {'would go' if options.dry_run else 'went'}: "
        f"{found.bytes} bytes ({size_text(found.bytes)})"
    )
    return 0
