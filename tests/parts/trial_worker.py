"""A worker of `copies` that kills itself at a point: python trial_worker.py DATASET POINT CLIP."""

import os
import signal
import sys
import time
from pathlib import Path

from trial_dataset import worker
from trial_stages.copies import Copies

from realmaster_live.jobs import worker as worker_module
from realmaster_live.training.pairs import work

POINTS = ("before write", "before rename", "before row", "in the row", "never")


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def main(dataset: str, point: str, victim: str) -> None:
    assert point in POINTS, point
    run, settle, append = Copies.run, worker_module.settle, work.append
    now_at = ""

    def note_and_run(self: Copies, job: object, target: Path) -> dict:
        nonlocal now_at
        now_at = job.clip.clip_id
        if point == "before write" and now_at == victim:
            die()
        return run(self, job, target)

    def settled(part: Path, path: Path) -> object:
        if point == "before rename" and now_at == victim:
            die()
        return settle(part, path)

    def appended(*row: object) -> object:
        if now_at == victim and point == "before row":
            die()
        if now_at == victim and point == "in the row":
            os.fsync = die  # the temporary file of the row is written, and not in its place
        return append(*row)

    Copies.run, worker_module.settle, work.append = note_and_run, settled, appended
    worker(Path(dataset)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
