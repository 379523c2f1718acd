"""How `realmaster pairs` runs stages: the estimated cost, then progress, then the result."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from realmaster_live.cli.workers import WorkerOptions
from realmaster_live.live.progress import CountProgress

QUARANTINE = 3  # exit status: everything else is made, and some clips are in quarantine


def announce(
    chain: Any, names: Sequence[str], pool: WorkerOptions, *, dry_run: bool, pilot: bool
) -> None:
    """Print what is to be made and what it costs.

    With `pilot`, one clip is made of each stage whose cost was never measured.
    """
    from realmaster_live.training.pairs.cost import estimate, lacks_room, total
    from realmaster_live.training.pairs.status import read_status
    from realmaster_live.training.pairs.work import release_quarantined

    costs = []
    for name in names:
        if pool.retry and not dry_run:
            release_quarantined(chain, name)
        status = read_status(chain, name)
        unknown = status.seconds_left is None and status.ready and status.waiting > pool.workers
        if unknown and pilot and not dry_run:
            status = _work_on(chain, status, pool, limit=1)
        costs.append(estimate(status, pool.workers))
    if not any(cost.make for cost in costs) and not dry_run:
        return
    stream = sys.stdout if dry_run else sys.stderr
    for cost in costs:
        print(cost.line(), file=stream)
    if len(costs) > 1:
        print(total(costs).line(), file=stream)
    if dry_run and pool.executor == "slurm":
        for name in names:
            print(_batch_script(chain, name, pool.workers))
    warning = lacks_room(chain.dataset, total(costs).bytes)
    if warning:
        print(f"realmaster: warning: {warning}", file=sys.stderr)


def _work_on(chain: Any, before: Any, pool: WorkerOptions, limit: int | None = None) -> Any:
    """Run a stage and show its progress; returns its counts."""
    from realmaster_live.training.pairs.supervise import run_stage

    with CountProgress(before.stage, before.clips) as bar:
        return run_stage(
            chain.dataset,
            before.stage,
            executor=pool.executor,
            workers=pool.workers,
            limit=limit,
            on_progress=lambda now: bar.update(now.done, _failures(now)),
        )


def do_stage(chain: Any, name: str, pool: WorkerOptions, *, every_limit: bool = False) -> int:
    """Make what a stage lacks; returns the exit status.

    After the gate, `every_limit` prints the result of every limit, not only how many clips passed.
    """
    from realmaster_live.training.pairs.cost import duration_text, size_text
    from realmaster_live.training.pairs.status import read_status

    started, before = time.monotonic(), read_status(chain, name)
    after = _work_on(chain, before, pool) if before.ready else before
    print(
        f"{name}: {after.done - before.done} made, {before.done} reused, {after.quarantined} in "
        f"quarantine, {after.waiting} waiting; {duration_text(time.monotonic() - started)}, "
        f"{size_text(after.bytes)}"
    )
    for clip, error in after.errors.items():
        print(f"  {clip}: {error}", file=sys.stderr)
    if name == "gate" and after.done:
        _print_verdicts(chain, whole=every_limit)
    return QUARANTINE if after.quarantined else 0


def _print_verdicts(chain: Any, *, whole: bool) -> None:
    """Write the table of verdicts, and print how many clips passed, or every limit's share."""
    from realmaster_live.training.pairs.verdicts import calibrate, write_verdicts

    write_verdicts(chain.dataset)
    for line in calibrate(chain.dataset).lines()[: None if whole else 1]:
        print(f"  {line}")


def _failures(status: Any) -> str:
    return ", ".join(
        f"{count} {word}"
        for count, word in ((status.failed, "failed"), (status.quarantined, "in quarantine"))
        if count
    )


def _batch_script(chain: Any, name: str, workers: int) -> str:
    from realmaster_live.jobs.slurm import script
    from realmaster_live.training.pairs.work import task_of

    task = task_of(chain.dataset, name, chain.recipe.run)
    return script(replace(task, shard=(0, workers)))
