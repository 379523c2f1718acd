"""How `realmaster pairs` runs stages: the cost first, then a bar, then what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from realmaster_live.cli.crew import Crew
from realmaster_live.live.progress import CountProgress

GIVEN_UP = 3  # exit status: all is made that can be made, and some clips are in quarantine


def foretell(chain: Any, names: Sequence[str], crew: Crew, *, dry_run: bool, pilot: bool) -> None:
    """Say what is to make and what it costs; one clip is made of what was never measured."""
    from realmaster_live.training.pairs.cost import estimate, lacks_room, total
    from realmaster_live.training.pairs.status import read_status
    from realmaster_live.training.pairs.work import give_another_chance

    told = []
    for name in names:
        if crew.retry and not dry_run:
            give_another_chance(chain, name)
        status = read_status(chain, name)
        unknown = status.seconds_left is None and status.ready and status.waiting > crew.workers
        if unknown and pilot and not dry_run:
            status = _work_on(chain, status, crew, limit=1)
        told.append(estimate(status, crew.workers))
    if not any(cost.make for cost in told) and not dry_run:
        return
    stream = sys.stdout if dry_run else sys.stderr
    for cost in told:
        print(cost.line(), file=stream)
    if len(told) > 1:
        print(total(told).line(), file=stream)
    if dry_run and crew.executor == "slurm":
        for name in names:
            print(_batch_script(chain, name, crew.workers))
    warning = lacks_room(chain.dataset, total(told).bytes)
    if warning:
        print(f"realmaster: warning: {warning}", file=sys.stderr)


def _work_on(chain: Any, before: Any, crew: Crew, limit: int | None = None) -> Any:
    """Run a stage under a bar; returns its counts."""
    from realmaster_live.training.pairs.supervise import run_stage

    with CountProgress(before.stage, before.clips) as bar:
        return run_stage(
            chain.dataset,
            before.stage,
            executor=crew.executor,
            workers=crew.workers,
            limit=limit,
            on_progress=lambda now: bar.update(now.done, _worries(now)),
        )


def do_stage(chain: Any, name: str, crew: Crew, *, every_limit: bool = False) -> int:
    """Make what a stage lacks; returns the exit status.

    After the gate, `every_limit` prints how every limit of it did, not only how many clips passed.
    """
    from realmaster_live.training.pairs.cost import worded, worded_bytes
    from realmaster_live.training.pairs.status import read_status

    started, before = time.monotonic(), read_status(chain, name)
    after = _work_on(chain, before, crew) if before.ready else before
    print(
        f"{name}: {after.done - before.done} made, {before.done} reused, {after.quarantined} in "
        f"quarantine, {after.waiting} waiting; {worded(time.monotonic() - started)}, "
        f"{worded_bytes(after.bytes)}"
    )
    for clip, error in after.errors.items():
        print(f"  {clip}: {error}", file=sys.stderr)
    if name == "gate" and after.done:
        _tell_verdicts(chain, whole=every_limit)
    return GIVEN_UP if after.quarantined else 0


def _tell_verdicts(chain: Any, *, whole: bool) -> None:
    """Keep the verdicts as a table, and say how many passed or how every limit did."""
    from realmaster_live.training.pairs.verdicts import calibrate, write_verdicts

    write_verdicts(chain.dataset)
    for line in calibrate(chain.dataset).lines()[: None if whole else 1]:
        print(f"  {line}")


def _worries(status: Any) -> str:
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
