"""How `realmaster replay` runs a job: the plan, then progress, then the result."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from realmaster_live.cli.fidelity import Fidelity, wrap
from realmaster_live.cli.workers import WorkerOptions
from realmaster_live.errors import PairError
from realmaster_live.jobs.executors import Task
from realmaster_live.jobs.leases import LEASES, hold, is_stale
from realmaster_live.jobs.supervisor import Progress, supervise
from realmaster_live.jobs.work import DONE, FAILED, QUARANTINED, WAITING, Status, reason_of
from realmaster_live.jobs.worker import produce
from realmaster_live.live.progress import CountProgress, RunProgress, console, show_stats
from realmaster_live.protocols import PromptedEngine
from realmaster_live.replay.job import Job, Piece
from realmaster_live.replay.realize import Engines, Wrap, play
from realmaster_live.replay.worker import ReplayWork, frames_read
from realmaster_live.sinks.opening import DisplayOptions, open_displays
from realmaster_live.telemetry.options import TelemetryOptions

QUARANTINE = 3  # exit status: everything else is made, and some inputs are in quarantine
OPEN = (WAITING, FAILED)


def open_work(state: str, *, workers: int = 1) -> ReplayWork:
    """Return the work of a job, as an executor opens it."""
    job = Job.read(Path(state))
    return ReplayWork(job, workers=workers, wrap=_wrapping(job))


def task_of(job: Job, *, shard: tuple[int, int] = (0, 1)) -> Task:
    """Return the task of one worker of a job."""
    return Task(
        name="replay",
        folder=job.state,
        entry=f"{__name__}:{open_work.__name__}",
        arguments=(str(job.state),),
        command=("replay", "--work", str(job.state)),
        shard=shard,
        run=job.run,
    )


def announce(job: Job, executor: str, workers: int) -> int:
    """Print what would be made; returns the exit status."""
    for piece in job.pieces:
        footage = piece.footage
        sizes = ", ".join(f"{width}x{height}" for width, height in piece.sizes.values())
        print(
            f"{job.status(piece)}: {footage.path} ({footage.kind}, {footage.frames} frames at "
            f"{footage.fps:g}/s) -> {piece.out} at {sizes}"
        )
    if executor == "slurm":
        from realmaster_live.jobs.slurm import script

        print(script(task_of(job, shard=(0, workers))))
    return 0


def watch(job: Job, display: DisplayOptions, telemetry: TelemetryOptions, *, quiet: bool) -> int:
    """Realize one input and record nothing."""
    (piece,) = job.pieces
    with ExitStack() as stack:
        observer = telemetry.open(stack)
        bar = _bar(stack, job, quiet=quiet or observer.is_logging)
        wrapping = _wrapping(job, verbose=not quiet)
        engines = Engines(job.realizing, wrap=lambda engine: observer.engine(wrapping(engine)))
        stack.callback(engines.close)
        try:
            play(
                job,
                piece,
                engines,
                sinks=observer.sinks(open_displays(stack, display, observer.say)),
                pace=display.is_watched,
                on_progress=observer.progress(bar.update),
            )
        finally:
            _show(bar, quiet=quiet)
    return 0


def realize_one(
    job: Job, display: DisplayOptions, telemetry: TelemetryOptions, *, quiet: bool
) -> int:
    """Realize one input in this process; its errors are raised as they are."""
    (piece,) = job.pieces
    if job.status(piece) == DONE:
        print(f"{piece.out} is there already, made of the same input in the same way")
        return 0
    with ExitStack() as stack:
        stack.callback(_tidy, job)
        job.make_room()
        lease = stack.enter_context(hold(job.state, piece.name, job.run.lease_s))
        if lease is None:
            raise PairError(
                f"expected to make {piece.out} alone, got another process that makes it: wait for "
                "it, or end it first"
            )
        observer = telemetry.open(stack)
        bar = _bar(stack, job, quiet=quiet or observer.is_logging)
        wrapping = _wrapping(job, verbose=not quiet)
        replay = ReplayWork(
            job,
            wrap=lambda engine: observer.engine(wrapping(engine)),
            sinks=observer.sinks(open_displays(stack, display, observer.say)),
            on_progress=observer.progress(bar.update),
        )
        try:
            produce(stack.enter_context(replay), piece.name)
        finally:
            _show(bar, quiet=quiet)
    return 0


def realize_all(job: Job, pool: WorkerOptions, *, quiet: bool) -> int:
    """Have workers realize every input; returns the exit status."""
    job.make_room()
    job.write()
    for lease in (job.state / LEASES).glob("*.json"):
        if is_stale(lease, job.run.lease_s):
            lease.unlink(missing_ok=True)  # of an earlier run, which may have been killed
    if pool.retry:
        for piece in job.pieces:
            job.forget_failures(piece)
    counter = _Counter(job, quiet=quiet)
    before = counter.count(DONE)
    with counter:
        supervise(task_of(job), counter.look, executor=pool.executor, workers=pool.workers)
    made = counter.count(DONE) - before
    quarantined = [piece for piece in job.pieces if job.status(piece) == QUARANTINED]
    print(
        f"replay: {made} made, {before} reused, {len(quarantined)} in quarantine, "
        f"{counter.count(*OPEN)} waiting; {counter.frames()} frames in {counter.seconds:.1f} s"
    )
    for piece in quarantined:
        reason = reason_of(job.failures(piece).error)
        print(f"  {piece.name}: {reason}", file=sys.stderr)
    return QUARANTINE if quarantined else 0


class _Counter:
    """Counts the inputs and frames of a job that are done, and shows them."""

    def __init__(self, job: Job, *, quiet: bool) -> None:
        self.job, self.quiet = job, quiet
        self.seconds = 0.0
        self._done: set[str] = set()
        self._total = sum(piece.footage.frames for piece in job.pieces)
        self._bar = CountProgress("replay, frames", self._total)
        self._began, self._before = time.monotonic(), self.frames()

    def __enter__(self) -> _Counter:
        if not self.quiet:
            self._bar.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds = time.monotonic() - self._began
        if not self.quiet:
            self._bar.__exit__(*exception)

    def count(self, *statuses: str) -> int:
        """Return how many inputs have one of these statuses."""
        return sum(self._status(piece) in statuses for piece in self.job.pieces)

    def attempts(self) -> int:
        """Return how many attempts have ended, successful or not."""
        left = (piece for piece in self.job.pieces if self._status(piece) != DONE)
        return self.count(DONE) + sum(self.job.failures(piece).attempts for piece in left)

    def frames(self) -> int:
        """Return how many frames were read, of finished inputs and of those in work."""
        held = {path.stem for path in (self.job.state / LEASES).glob("*.json")}
        return sum(
            piece.footage.frames
            if self._status(piece) == DONE
            else frames_read(self.job, piece) * (piece.name in held)
            for piece in self.job.pieces
        )

    def _status(self, piece: Piece) -> Status:
        """Return the status of an input; a finished one is not checked again."""
        if piece.name in self._done:
            return DONE
        status = self.job.status(piece)
        if status == DONE:
            self._done.add(piece.name)
        return status

    def look(self) -> Progress:
        """Return the progress of the job, and show it."""
        if not self.quiet:
            self._show()
        return Progress(ready=self.count(*OPEN), done=self.count(DONE), attempts=self.attempts())

    def _show(self) -> None:
        """Show the frames, their rate and the time that is left."""
        frames = self.frames()
        rate = (frames - self._before) / max(1e-3, time.monotonic() - self._began)
        figures = f"{rate:.1f}/s"
        if rate > 0:
            figures += f"  {(self._total - frames) / rate / 60:.0f} min left"
        for status in (FAILED, QUARANTINED):
            if self.count(status):
                figures += f"  {self.count(status)} {status}"
        self._bar.update(frames, figures)


def _wrapping(job: Job, *, verbose: bool = False) -> Wrap:
    """Return the function that wraps an engine in the lock and the gate of the job.

    With `verbose` it prints of every engine what runs where.
    """
    options = Fidelity(**job.realizing.fidelity)

    def wrapped(engine: PromptedEngine) -> PromptedEngine:
        if verbose:
            console().print(f"{engine!r}", soft_wrap=True, markup=False, highlight=False)
        return wrap(engine, options)

    return wrapped


def _bar(stack: ExitStack, job: Job, *, quiet: bool) -> RunProgress:
    footage = job.pieces[0].footage
    bar = RunProgress(footage.name, footage.frames or None)
    return bar if quiet else stack.enter_context(bar)


def _show(bar: RunProgress, *, quiet: bool) -> None:
    if bar.stats.captured and not quiet:
        show_stats(bar.stats)


def _tidy(job: Job) -> None:
    """Remove the folders of a job if they are empty."""
    for folder in (job.state / LEASES, job.state):
        with suppress(OSError):
            folder.rmdir()
